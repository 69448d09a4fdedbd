#!lua flags=allow-oom
-- save: record how far an operation is, and keep its lease; or that it has ended.
--
-- KEYS[1]  running    zset  operation id -> its server's lease ends (epoch ms)
-- KEYS[2]  operation  hash  see src/store/scripts/operations.ts
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  id               string
-- ARGV[3]  owner            string   the server that has run it
-- ARGV[4]  lease_ms         integer  0 to leave it to another server
-- ARGV[5]  state            string   "running", "done" or "failed"
-- ARGV[6]  kept_ms          integer  how long it is kept once it has ended
-- ARGV[7]  cursor           string   where to continue
-- ARGV[8..]                 two per field, one field at least:
--            field
--            value
--
-- Returns  {word}: "saved"; "stopped": it was stopped meanwhile, and only the fields were written; "lost": another
--          server runs it, or it is gone
-- Writes   not for "lost"
-- Cost     O(1)
--@include lib/clock.lua

local running, operation = KEYS[1], KEYS[2]
local now = redis_now(ARGV[1])
local id, owner, lease_ms, state = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local kept_ms, cursor = tonumber(ARGV[6]), ARGV[7]

local lease, state_before = unpack(redis.call("HMGET", operation, "lease", "state"))
if lease ~= owner then return { "lost" } end
redis.call("HSET", operation, unpack(ARGV, 8))
if state_before ~= "running" then return { "stopped" } end
if state == "running" then
  redis.call("HSET", operation, "cursor", cursor)
  redis.call("ZADD", running, now + lease_ms, id)
else
  redis.call("HSET", operation, "state", state, "finishedAt", now, "cursor", "", "request", "")
  redis.call("ZREM", running, id)
  redis.call("PEXPIRE", operation, kept_ms)
end
return { "saved" }
