#!lua flags=allow-oom
-- read-clock: read the test clock; set it going again if the server whose act stopped it has died.
--
-- KEYS[1]  test_clock    string  see set-clock.lua
-- KEYS[2]  clock_act     string  the token of the act in progress
-- ARGV[1]  wake_channel  string  where servers listen
--
-- Returns  {clock, real, is_acting}: the clock, "" if there is none; Redis's own time, epoch ms; 1 while an act is in
--          progress, else 0
-- Writes   the clock, and publishes it, if no act is in progress and it still is as it was during one
-- Cost     O(1)
--@include lib/clock.lua

local key, channel = KEYS[1], ARGV[1]
local real, is_acting = redis_now(0), redis.call("EXISTS", KEYS[2])
local clock = redis.call("GET", key) or ""
local version, resume = string.match(clock, "^%d+ %d+ [%d.]+ (%d+) ([%d.]+)$")
if version and is_acting == 0 then
  clock = string.format("%.0f %.0f %s %.0f -", redis_now(clock), real, resume, version + 1)
  redis.call("SET", key, clock)
  redis.pcall("PUBLISH", channel, "clock " .. clock)
end
return { clock, real, is_acting }
