#!lua flags=allow-oom
-- stop: end an operation that is running. Its server notices when it saves next, before it changes anything more.
--
-- KEYS[1]  running    zset  operation id -> its server's lease ends (epoch ms)
-- KEYS[2]  operation  hash  see src/store/scripts/operations.ts
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  id               string
-- ARGV[3]  kept_ms          integer  how long it is kept then
--
-- Returns  {word}: "stopped"; "ended": it was not running any more; "unknown"
-- Writes   only for "stopped"
-- Cost     O(1)
--@include lib/clock.lua

local running, operation = KEYS[1], KEYS[2]
local now = redis_now(ARGV[1])
local id, kept_ms = ARGV[2], tonumber(ARGV[3])

local state = redis.call("HGET", operation, "state")
if not state then return { "unknown" } end
if state ~= "running" then return { "ended" } end
redis.call("HSET", operation, "state", "stopped", "finishedAt", now, "cursor", "", "request", "")
redis.call("ZREM", running, id)
redis.call("PEXPIRE", operation, kept_ms)
return { "stopped" }
