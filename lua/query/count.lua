#!lua flags=no-writes
-- count: how many messages are in each state, and for how long the earliest has been overdue.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms); the main due set, of which lanes are suffixes
-- KEYS[2]  claimed    zset  message id -> lock end (epoch ms)
-- KEYS[3]  dead       zset  message id -> became a dead letter at (epoch ms)
-- KEYS[4]  laned      zset  message id in a lane -> due time (epoch ms)
-- KEYS[5]  hosts      zset  lane of a webhook host -> due time of its first message
-- KEYS[6]  messages   hash  message id -> record
-- KEYS[7]  queues     zset  lane of a pull queue -> due time of its first message
-- KEYS[8]  pauses     hash  what is paused, see lib/pauses.lua
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2..] full_lane       string   lane of a host that is full
--
-- Returns  {scheduled, claimed, dead, stranded, overdue, late, paused}: four counts, stranded being the records beyond
--          those of the other three; for how many ms the first message that is not paused has been overdue; the same
--          without messages that only wait for a pull worker or for a slot of their host; and how many due messages
--          pauses hold
-- Writes   nothing
-- Cost     O(f + p), f = full lanes, p = pauses
--@include lib/clock.lua
--@include lib/paused-sets.lua
--@include lib/pauses.lua
--@include lib/wake.lua

local scheduled, claimed, dead, hosts, queues = KEYS[1], KEYS[2], KEYS[3], KEYS[5], KEYS[7]
local due = { scheduled = scheduled, laned = KEYS[4] }
local now = redis_now(ARGV[1])
local pauses = read_pauses(KEYS[8], now)
local full = {}
for i = 2, #ARGV do full[ARGV[i]] = true end

local function overdue_ms(head)
  return head and math.max(0, now - head) or 0
end

-- open_host_due(): the earliest due time of a message of a host that is neither full nor paused.
local function open_host_due()
  -- One more lane than are full or paused: one of them is neither.
  local last = #ARGV - 1 + (pauses and pauses.lane_count or 0)
  local heads = redis.call("ZRANGE", hosts, 0, last, "WITHSCORES")
  for i = 1, #heads, 2 do
    local head = tonumber(heads[i + 1])
    if not full[heads[i]] and head > held_through(pauses, heads[i]) then return head end
  end
end

-- overdue_in_lanes(): for how long the first message of any host or queue has been overdue.
local function overdue_in_lanes()
  if not pauses then return overdue_ms(head_due(due.laned)) end
  return math.max(overdue_ms(next_due_of(pauses, hosts)), overdue_ms(next_due_of(pauses, queues)))
end

local function due_through(set, through)
  return redis.call("ZCOUNT", set, "-inf", digits(math.min(now, through)))
end

-- count_paused(): each message once: what a tag holds has been set aside, or will be by the next claim.
local function count_paused()
  if not pauses then return 0 end
  local count = 0
  if pauses.all > 0 then
    for _, set in ipairs(sets_of_pause(due, "", "all")) do count = count + due_through(set, pauses.all) end
    return count
  end
  for lane, through in pairs(pauses.lanes) do
    if through > 0 then count = count + due_through(due_set(due, lane), through) end
  end
  return count + redis.call("ZCARD", due_set(due, "paused"))
end

local unheld = math.max(overdue_ms(next_due_in(due, pauses, "")), overdue_ms(next_due_in(due, pauses, "stream")))
local for_streams = redis.call("ZCARD", due_set(due, "stream"))
local waiting = redis.call("ZCARD", scheduled) + for_streams + redis.call("ZCARD", due.laned)
local claims, dead_letters = redis.call("ZCARD", claimed), redis.call("ZCARD", dead)
return {
  waiting,
  claims,
  dead_letters,
  math.max(0, redis.call("HLEN", KEYS[6]) - waiting - claims - dead_letters),
  math.max(unheld, overdue_in_lanes()),
  math.max(unheld, overdue_ms(open_host_due())),
  count_paused(),
}
