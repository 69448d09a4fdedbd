#!lua flags=no-writes
-- count: how many messages are in each state, and how long the longest overdue one has been.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms)
-- KEYS[2]  claimed    zset  message id -> lock end (epoch ms)
-- KEYS[3]  dead       zset  message id -> given up at (epoch ms)
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock in tests; 0 in production
--
-- Returns  {scheduled, claimed, dead, overdue}: three counts, and ms, 0 when nothing is overdue
-- Writes   nothing
-- Cost     O(1)
--@include lib/clock.lua
--@include lib/wake.lua

local scheduled, claimed, dead = KEYS[1], KEYS[2], KEYS[3]
local now = redis_now(tonumber(ARGV[1]))
local head = head_due(scheduled)
local overdue = head and math.max(0, now - head) or 0
return { redis.call("ZCARD", scheduled), redis.call("ZCARD", claimed), redis.call("ZCARD", dead), overdue }
