#!lua flags=no-writes
-- late: the lanes in which something is overdue, and how many messages of some lanes are.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms); the main due set, of which lanes are suffixes
-- KEYS[2]  laned      zset  message id in a lane -> due time (epoch ms)
-- KEYS[3]  hosts      zset  lane of a webhook host -> due time of its first message
-- KEYS[4]  queues     zset  lane of a pull queue -> due time of its first message
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  most             integer  lanes at most, those overdue longest; 0 for none
-- ARGV[3..] lane            string   lanes to count
--
-- Returns  {now, total, aside, aside_oldest, lane, oldest, ..., count, ...}
--            now     Redis's clock, epoch ms
--            total   overdue messages of all lanes
--            aside   how many of them are set aside, as one of their tags is paused
--            aside_oldest  when the first of these was due, epoch ms; "" for none
--            lane, oldest: a lane ("" for the main set) and when its first message was due, epoch ms; most of them
--            count   for each lane to count, in order, its overdue messages
-- Writes   nothing
-- Cost     O(l log S), l = lanes told and counted, S = scheduled messages
--@include lib/clock.lua
--@include lib/lanes.lua

local due = { scheduled = KEYS[1], laned = KEYS[2], hosts = KEYS[3], queues = KEYS[4] }
local now, most = redis_now(ARGV[1]), tonumber(ARGV[2])

local function overdue(set) return redis.call("ZCOUNT", set, "-inf", now) end

local aside = due_set(due, "paused")
local reply = { now, 0, overdue(aside), head_due(aside) or "" }
for _, set in ipairs({ due.scheduled, due_set(due, "stream"), due.laned }) do reply[2] = reply[2] + overdue(set) end
if most > 0 then
  for _, lane in ipairs({ "", "stream" }) do
    local head = head_due(due_set(due, lane))
    if head and head <= now then reply[#reply + 1], reply[#reply + 2] = lane, head end
  end
  for _, index in ipairs({ due.hosts, due.queues }) do
    local heads = redis.call("ZRANGE", index, "-inf", now, "BYSCORE", "LIMIT", 0, most, "WITHSCORES")
    for i = 1, #heads do reply[#reply + 1] = heads[i] end
  end
end
for i = 3, #ARGV do reply[#reply + 1] = overdue(due_set(due, ARGV[i])) end
return reply
