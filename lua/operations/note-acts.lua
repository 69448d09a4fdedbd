#!lua
-- note-acts: add to the log of what people did, of which the newest are kept.
--
-- KEYS[1]  acts  zset  "<server and number of the act> <JSON>" -> done at (epoch ms)
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  kept             integer
-- ARGV[3..] act             string   a member, the oldest first
--
-- Returns  an empty list
-- Writes   the acts
-- Cost     O(n), n = acts
--@include lib/clock.lua

local acts = KEYS[1]
local now = redis_now(ARGV[1])
local kept = tonumber(ARGV[2])

for i = 3, #ARGV do redis.call("ZADD", acts, now, ARGV[i]) end
redis.call("ZREMRANGEBYRANK", acts, 0, -kept - 1)
return {}
