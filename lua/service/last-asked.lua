#!lua flags=no-writes
-- last-asked: tell when workers last asked queues for messages.
--
-- KEYS[1]  asked  zset  queue -> last asked (epoch ms), to 10 s
-- ARGV[1..] queue  string
--
-- Returns  for each queue, in order: epoch ms, "" for never
-- Writes   nothing
-- Cost     O(1) per queue

local reply = {}
for i = 1, #ARGV do reply[i] = redis.call("ZSCORE", KEYS[1], ARGV[i]) or "" end
return reply
