#!lua
-- begin: record a new operation, which its server then runs, unless too many are running.
--
-- KEYS[1]  operations  zset  operation id -> started at (epoch ms)
-- KEYS[2]  running     zset  operation id -> its server's lease ends (epoch ms)
-- KEYS[3]  operation   hash  see src/store/scripts/operations.ts
-- ARGV[1]  clock_offset_ms   integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  operation_prefix  string   key of an operation = operation_prefix .. id
-- ARGV[3]  id                string
-- ARGV[4]  owner             string   the server that runs it
-- ARGV[5]  lease_ms          integer
-- ARGV[6]  most_running      integer
-- ARGV[7]  kept              integer  the oldest finished ones beyond this number are deleted
-- ARGV[8..]                  two per field:
--            field
--            value
--
-- Returns  {now, "begun"}, now being when it started (epoch ms), or {now, "full"}: too many are running
-- Writes   only for "begun"
-- Cost     O(n), n = running operations and those deleted
--@include lib/clock.lua

local operations, running, operation = KEYS[1], KEYS[2], KEYS[3]
local now = redis_now(ARGV[1])
local operation_prefix, id, owner, lease_ms = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local most_running, kept = tonumber(ARGV[6]), tonumber(ARGV[7])

local count = redis.call("ZCARD", running)
if count >= most_running then return { now, "full" } end
redis.call("HSET", operation, "state", "running", "startedAt", now, "lease", owner, unpack(ARGV, 8))
redis.call("ZADD", operations, now, id)
redis.call("ZADD", running, now + lease_ms, id)
local excess = redis.call("ZCARD", operations) - kept
if excess > 0 then
  for _, oldest in ipairs(redis.call("ZRANGE", operations, 0, excess + count)) do
    if excess > 0 and not redis.call("ZSCORE", running, oldest) then
      redis.call("ZREM", operations, oldest)
      redis.call("DEL", operation_prefix .. oldest)
      excess = excess - 1
    end
  end
end
return { now, "begun" }
