#!lua flags=allow-oom
-- resume: take over an operation whose server is gone.
--
-- KEYS[1]  running  zset  operation id -> its server's lease ends (epoch ms)
-- ARGV[1]  clock_offset_ms   integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  operation_prefix  string   key of an operation = operation_prefix .. id
-- ARGV[3]  owner             string   the server that takes it
-- ARGV[4]  lease_ms          integer
--
-- Returns  {id, field, value, ...} of the operation that was taken; {""} when each has a server; empty when none runs
-- Writes   its lease
-- Cost     O(n), n = running operations
--@include lib/clock.lua

local CLOCK_SLACK_MS = 1000
local running = KEYS[1]
local now = redis_now(ARGV[1])
local operation_prefix, owner, lease_ms = ARGV[2], ARGV[3], tonumber(ARGV[4])

local all = redis.call("ZRANGE", running, 0, -1, "WITHSCORES")
for i = 1, #all, 2 do
  local id, lease_end = all[i], tonumber(all[i + 1])
  -- A lease beyond what it can be was written by a clock that was ahead.
  if lease_end <= now or lease_end > now + lease_ms + CLOCK_SLACK_MS then
    local operation = operation_prefix .. id
    if redis.call("EXISTS", operation) == 1 then
      redis.call("HSET", operation, "lease", owner)
      redis.call("ZADD", running, now + lease_ms, id)
      return { id, unpack(redis.call("HGETALL", operation)) }
    end
    redis.call("ZREM", running, id)
  end
end
return #all > 0 and { "" } or {}
