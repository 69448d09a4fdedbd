#!lua
-- record-traffic: keep what a server has delivered in a minute, in place of what it said of this minute before.
--
-- KEYS[1]  minute  hash  server id -> what it delivered, by lane, as JSON
-- ARGV[1]  server_id  string
-- ARGV[2]  text       JSON     see src/traffic/lane-traffic.ts
-- ARGV[3]  keep_ms    integer  how long the minute is kept from now
--
-- Returns  {"recorded"}
-- Writes   the server's field; the time to live of the whole
-- Cost     O(1)

redis.call("HSET", KEYS[1], ARGV[1], ARGV[2])
redis.call("PEXPIRE", KEYS[1], ARGV[3])
return { "recorded" }
