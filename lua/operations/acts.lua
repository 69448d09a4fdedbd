#!lua flags=no-writes
-- acts: read the log of what people did, the newest first.
--
-- KEYS[1]  acts  zset  "<server and number of the act> <JSON>" -> done at (epoch ms)
--
-- Returns  {act, at, ...}
-- Writes   nothing
-- Cost     O(n), n = acts

local acts = KEYS[1]
return redis.call("ZRANGE", acts, 0, -1, "REV", "WITHSCORES")
