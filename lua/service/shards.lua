#!lua flags=allow-oom
-- shards: read the number of shards, and raise it; and read which data these are.
--
-- KEYS[1]  counts  string  every number of shards there has been, rising, comma-separated; each with "@" and the time
--                  (epoch ms) from which on new messages go by it, or without, if there were no messages before
-- KEYS[2]  data_id  string  a random text, which is gone or another one when the data are
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  count            integer  raise to this number, unless there are as many
-- ARGV[3]  after_ms         integer  how long from now a raised number is not to be used yet
-- ARGV[4]  known_id         string   the data_id that the caller knows; "" for none
-- ARGV[5]  new_id           string   what becomes it where there is none
--
-- Returns  {now, counts, data_id}: Redis's clock, the numbers as they now are, and the id
-- Writes   the numbers, if it raised them, or if the newest begins later than it would if it were raised now: a clock
--          that was ahead wrote it; the id, if there was none: the known one if there are numbers, which then belong to
--          the same data, else the new one
-- Cost     O(1)
--@include lib/clock.lua

local key, id_key = KEYS[1], KEYS[2]
local now = redis_now(ARGV[1])
local count, after_ms = tonumber(ARGV[2]), tonumber(ARGV[3])

local known_id, new_id = ARGV[4], ARGV[5]

local counts, data_id = redis.call("GET", key), redis.call("GET", id_key)
if not data_id then
  data_id = counts and known_id ~= "" and known_id or new_id
  redis.call("SET", id_key, data_id)
end
local newest = counts and tonumber(string.match(counts, "(%d+)@?%d*$"))
if not newest then
  counts = ARGV[2]
  redis.call("SET", key, counts)
elseif count > newest then
  counts = counts .. string.format(",%s@%.0f", ARGV[2], now + after_ms)
  redis.call("SET", key, counts)
else
  local from = tonumber(string.match(counts, "@(%d+)$"))
  if from and from > now + after_ms + 1000 then
    counts = string.gsub(counts, "%d+$", string.format("%.0f", now + after_ms))
    redis.call("SET", key, counts)
  end
end
return { now, counts, data_id }
