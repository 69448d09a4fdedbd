#!lua flags=no-writes
-- read-traffic: what the servers have delivered in a minute.
--
-- KEYS[1]  minute  hash  server id -> what it delivered, by lane, as JSON
--
-- Returns  {server_id, text, ...}; empty for a minute without deliveries, or one that is forgotten
-- Writes   nothing
-- Cost     O(n), n = servers

return redis.call("HGETALL", KEYS[1])
