#!lua flags=no-writes
-- streams: which streams messages of a shard are for.
--
-- KEYS[1]  streams  set  names of streams
--
-- Returns  names, in no order
-- Writes   nothing
-- Cost     O(n), n = streams

return redis.call("SMEMBERS", KEYS[1])
