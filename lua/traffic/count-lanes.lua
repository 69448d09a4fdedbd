#!lua flags=no-writes
-- count-lanes: how much waits in some lanes, and which lanes have waited longest.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms); the main due set, of which lanes are suffixes
-- KEYS[2]  hosts      zset  lane of a webhook host -> due time of its first message
-- KEYS[3]  queues     zset  lane of a pull queue -> due time of its first message
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  most             integer  lanes at most that are found here, of each kind
-- ARGV[3..] lane            string   a lane to count, found or not; "" for the main due set
--
-- Returns  {lane, waiting, due, ...}: the lanes that were asked for, then those found, each once: of those with
--          messages the ones whose first message is due first; how many messages each holds, and how many are due
-- Writes   nothing
-- Cost     O(n log S), n = lanes, S = scheduled messages
--@include lib/clock.lua

local scheduled = KEYS[1]
local now, most = redis_now(ARGV[1]), tonumber(ARGV[2])
local reply, seen = {}, {}

local function count(lane)
  if seen[lane] then return end
  seen[lane] = true
  local set, at = lane == "" and scheduled or scheduled .. ":" .. lane, #reply
  reply[at + 1], reply[at + 2] = lane, redis.call("ZCARD", set)
  reply[at + 3] = redis.call("ZCOUNT", set, "-inf", string.format("%.0f", now))
end

for i = 3, #ARGV do count(ARGV[i]) end
if most > 0 then
  for _, index in ipairs({ KEYS[2], KEYS[3] }) do
    for _, lane in ipairs(redis.call("ZRANGE", index, 0, most - 1)) do count(lane) end
  end
end
return reply
