#!lua flags=allow-oom
-- forget: delete an entry of the history that cannot be read, as another program has changed it.
--
-- KEYS[1]  history    hash  message id -> history entry
-- KEYS[2]  delivered  zset  message id -> finished at (epoch ms)
-- KEYS[3]  dropped    zset  message id -> finished at (epoch ms)
-- ARGV[1]  id
-- ARGV[2]  entry  string  what was found there
--
-- Returns  {word}: "forgotten", or "kept": something else is there by now
-- Writes   only for "forgotten"
-- Cost     O(log n), n = entries

local history, id, entry = KEYS[1], ARGV[1], ARGV[2]
if redis.call("HGET", history, id) ~= entry then return { "kept" } end
redis.call("HDEL", history, id)
redis.call("ZREM", KEYS[2], id)
redis.call("ZREM", KEYS[3], id)
return { "forgotten" }
