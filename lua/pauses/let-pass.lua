#!lua
-- let-pass: have one scheduled message delivered although it is paused. It counts for this time it is due only, so that
-- its retries are held.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms); the main due set, of which lanes are suffixes
-- KEYS[2]  laned      zset  message id in a lane -> due time (epoch ms)
-- KEYS[3]  hosts      zset  lane of a webhook host -> due time of its first message
-- KEYS[4]  queues     zset  lane of a pull queue -> due time of its first message
-- KEYS[5]  messages   hash  message id -> record
-- KEYS[6]  pauses     hash  what is paused, see lib/pauses.lua
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  wake_channel     string   where sleeping servers listen
-- ARGV[3]  shard            integer  named in what is published
-- ARGV[4]  most             integer  messages that wait to pass at the same time
-- ARGV[5]  id
--
-- Returns  {word}: "passes"; "free": nothing is paused in this shard; "unknown": it is not scheduled here; "full": too
--          many wait to pass
-- Writes   only for "passes": puts back what was set aside, and publishes
-- Cost     O(log S + p), S = scheduled messages, p = pauses and messages that wait to pass
--@include lib/clock.lua
--@include lib/pauses.lua
--@include lib/scheduled.lua

local due = { scheduled = KEYS[1], laned = KEYS[2], hosts = KEYS[3], queues = KEYS[4] }
local messages, key, now = KEYS[5], KEYS[6], redis_now(ARGV[1])
local wake_channel, shard, most, id = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]

local pauses = read_pauses(key, now)
if not pauses then return { "free" } end
local score, record = scheduled_score(due, id), redis.call("HGET", messages, id)
if not score or not record then return { "unknown" } end
local waiting = 0
for other in pairs(pauses.pass_of) do
  if other ~= id then waiting = waiting + 1 end
end
if waiting >= most then return { "full" } end

local lane = lane_of(options_of(record))
redis.call("HSET", key, "pass:" .. id, score .. " " .. lane)
if take_back(due, lane, id) then
  local places = {}
  collect(places, lane, id, score)
  enqueue_all(due, places, wake_channel, shard, now, true)
end
-- Also where it is not the first of its lane: the claimers know only of those that are held.
wake_claimers(wake_channel, shard, lane, nil, tonumber(score), now)
return { "passes" }
