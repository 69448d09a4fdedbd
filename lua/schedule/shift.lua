#!lua
-- shift: move the due times of scheduled messages, and their not-after with them.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms); the main due set, of which lanes are suffixes
-- KEYS[2]  messages   hash  message id -> record
-- KEYS[3]  laned      zset  message id in a lane -> due time (epoch ms)
-- KEYS[4]  hosts      zset  lane of a webhook host -> due time of its first message
-- KEYS[5]  queues     zset  lane of a pull queue -> due time of its first message
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock in tests; 0 in production
-- ARGV[2]  wake_channel     string   where sleeping servers listen
-- ARGV[3]  shard            integer  named in what is published
-- ARGV[4]  tag_prefix       string   tag index key = tag_prefix .. tag
-- ARGV[5]  by_ms            integer  negative for earlier
-- ARGV[6]  latest           epoch ms  no message is moved beyond it, none before 0
-- ARGV[7..] id              string   each once
--
-- Returns  {looked_at, shifted, head}: how many ids were processed, fewer than asked if they are much work
--          (lib/work.lua); how many were moved; and "<ms>:<lane>" of the next message if one of them became it, else ""
-- Writes   records, due times and tags of the scheduled ids; publishes for each lane that has a new first message
-- Cost     O(n log S), n = ids, S = scheduled messages
--@include lib/clock.lua
--@include lib/readable.lua
--@include lib/scheduled.lua
--@include lib/tags.lua
--@include lib/work.lua

local messages = KEYS[2]
local keys = { scheduled = KEYS[1], laned = KEYS[3], hosts = KEYS[4], queues = KEYS[5] }
local now = redis_now(tonumber(ARGV[1]))
local wake_channel, shard, tag_prefix = ARGV[2], ARGV[3], ARGV[4]
local by_ms, latest = tonumber(ARGV[5]), tonumber(ARGV[6])

local function moved(ms)
  return digits(math.max(0, math.min(tonumber(ms) + by_ms, latest)))
end

local looked_at, shifted, work, places, tags = 0, 0, 0, {}, {}
local any_aside = redis.call("EXISTS", due_set(keys, "paused")) == 1
for i = 7, #ARGV do
  if work >= WORK_AT_ONCE then break end
  local id = ARGV[i]
  looked_at = looked_at + 1
  work = work + 0.5
  local score = scheduled_score(keys, id)
  local record = score and redis.call("HGET", messages, id)
  -- An unreadable message is left for an operator.
  local options = record and valid_options(record)
  if options then
    work = work + work_of(record, options)
    if options.n then options.n = moved(options.n) end
    options.v = (options.v or 1) + 1
    local due = moved(score)
    redis.call("HSET", messages, id, join_record(moved(due_of(record)), options, payload_of(record)))
    if any_aside then take_back(keys, lane_of(options), id) end
    collect(places, lane_of(options), id, due)
    collect_tags(tags, id, options, due)
    shifted = shifted + 1
  end
end
index_all_tags(tag_prefix, tags)
return { looked_at, shifted, enqueue_all(keys, places, wake_channel, shard, now, true) }
