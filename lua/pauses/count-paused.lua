#!lua flags=no-writes
-- count-paused: how many due messages each of some pauses holds.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms); the main due set, of which lanes are suffixes
-- KEYS[2]  laned      zset  message id in a lane -> due time (epoch ms)
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  tag_prefix       string   tag index key = tag_prefix .. tag
-- ARGV[3]  from             epoch ms  those due before are not counted
-- ARGV[4..] field           string   "all", "lane:<lane>" or "tag:<tag>"
--
-- Returns  a count per field; of a tag including those that are claimed
-- Writes   nothing
-- Cost     O(n log S), n = fields, S = scheduled messages
--@include lib/clock.lua
--@include lib/paused-sets.lua
--@include lib/record.lua

local due, tag_prefix, from = { scheduled = KEYS[1], laned = KEYS[2] }, ARGV[2], ARGV[3]
local now = redis_now(ARGV[1])
local reply = {}
for i = 4, #ARGV do
  local count = 0
  for _, set in ipairs(sets_of_pause(due, tag_prefix, ARGV[i])) do
    if is_set(set) then count = count + redis.call("ZCOUNT", set, from, digits(now)) end
  end
  reply[#reply + 1] = count
end
return reply
