#!lua flags=allow-oom
-- set-clock: set the test clock, if the caller's act is the one in progress, and tell all servers.
--
-- KEYS[1]  test_clock  string  "<at> <since> <rate> <version> <resume>", epoch ms: at Redis's time since it showed at,
--                      and is rate times as fast, 0 for frozen; version grows with each change; resume is the rate
--                      that it has again after the act in progress, "-" if none stops it
-- KEYS[2]  clock_act   string  the token of the act in progress
-- ARGV[1]  wake_channel  string   where servers listen
-- ARGV[2]  token         string   of the caller's act
-- ARGV[3]  at            epoch ms what it is to show; "" for what it shows now, "real" for Redis's own time
-- ARGV[4]  rate          number   how fast it is from now on
-- ARGV[5]  resume        string   a rate, or "-"
-- ARGV[6]  hold_ms       integer  how long the act may take until the next call
-- ARGV[7..] wake         string   "<shard> <lane>": something is due there at that time
--
-- Returns  {clock, real}: the clock and Redis's own time, epoch ms; an empty clock if another act is in progress
-- Writes   the clock and the act; publishes the clock, and each wake as "<shard> 0 <lane>"
-- Cost     O(w), w = wakes
--@include lib/clock.lua

local key, act = KEYS[1], KEYS[2]
local channel, token, at = ARGV[1], ARGV[2], ARGV[3]
local real = redis_now(0)
if redis.call("GET", act) ~= token then return { "", real } end

local before = redis.call("GET", key) or "0 0 1 0 -"
if at == "" then at = string.format("%.0f", (redis_now(before))) end
if at == "real" then at = string.format("%.0f", real) end
local version = tonumber(string.match(before, "^%d+ %d+ [%d.]+ (%d+)")) + 1
local clock = string.format("%s %.0f %s %.0f %s", at, real, ARGV[4], version, ARGV[5])
redis.call("SET", key, clock)
redis.call("SET", act, token, "PX", ARGV[6])
redis.pcall("PUBLISH", channel, "clock " .. clock)
for i = 7, #ARGV do
  redis.pcall("PUBLISH", channel, (string.gsub(ARGV[i], "^(%d+) ", "%1 0 ", 1)))
end
return { clock, real }
