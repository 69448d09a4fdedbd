#!lua
-- note-asked: note that workers ask queues for messages.
--
-- KEYS[1]  asked  zset  queue -> last asked (epoch ms)
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2..] queue           string
--
-- Returns  {now}: Redis's clock
-- Writes   the queues; of more than 10,000 it forgets those that were not asked for longest
-- Cost     O(n log q), n = queues, q = all queues
--@include lib/batch.lua
--@include lib/clock.lua

local MOST_QUEUES = 10000
local asked = KEYS[1]
local now = redis_now(ARGV[1])
local members = {}
for i = 2, #ARGV do
  members[#members + 1] = string.format("%.0f", now)
  members[#members + 1] = ARGV[i]
end
in_slices(members, 2, function(first, last)
  redis.call("ZADD", asked, unpack(members, first, last))
end)
redis.call("ZREMRANGEBYRANK", asked, 0, -MOST_QUEUES - 1)
return { now }
