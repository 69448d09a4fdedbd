#!lua
-- shift: move the due times of scheduled messages, and their not-after with them; or let them fall due now.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms); the main due set, of which lanes are suffixes
-- KEYS[2]  messages   hash  message id -> record
-- KEYS[3]  laned      zset  message id in a lane -> due time (epoch ms)
-- KEYS[4]  hosts      zset  lane of a webhook host -> due time of its first message
-- KEYS[5]  queues     zset  lane of a pull queue -> due time of its first message
-- KEYS[6]  claimed    zset  message id -> lock end (epoch ms)
-- KEYS[7]  failures   hash  message id -> reason and last attempts
-- KEYS[8]  step_key   string  what the latest step of an operation answered
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  wake_channel     string   where sleeping servers listen
-- ARGV[3]  shard            integer  named in what is published
-- ARGV[4]  tag_prefix       string   tag index key = tag_prefix .. tag
-- ARGV[5]  by_ms            integer  negative for earlier; "now": not by, but to now, and never later than before
-- ARGV[6]  latest           epoch ms  no message is moved beyond it, none before 0
-- ARGV[7]  every_ms         ms that each is later than the one before it, not necessarily whole; 0 for all alike
-- ARGV[8]  nth              integer  the place of the first among those of its operation, from 0
-- ARGV[9]  by               string   name of the key that moves them, "" for none
-- ARGV[10] step             integer  of the operation that this is a step of; "" for none (lib/step.lua)
-- ARGV[11] mark             epoch ms  messages created or attempted later are not meant; "" for none
-- ARGV[12..] id             string   each once
--
-- Returns  {looked_at, shifted, head, claimed, unreadable, later, id, ...}: how many ids were processed, fewer than
--          asked if they are much work (lib/work.lua); how many were moved; "<ms>:<lane>" of the next message if one of
--          them became it, else ""; how many were claimed, are unreadable, or were not there at mark; and the processed
--          ids that were not moved. Empty: a later step of the operation has run
-- Writes   records, due times and tags of the scheduled ids; publishes for each lane that has a new first message; the
--          answer of a step
-- Cost     O(n log S), n = ids, S = scheduled messages
--@include lib/clock.lua
--@include lib/readable.lua
--@include lib/scheduled.lua
--@include lib/step.lua
--@include lib/tags.lua
--@include lib/work.lua

local messages = KEYS[2]
local keys = { scheduled = KEYS[1], laned = KEYS[3], hosts = KEYS[4], queues = KEYS[5] }
local now = redis_now(ARGV[1])
local wake_channel, shard, tag_prefix = ARGV[2], ARGV[3], ARGV[4]
local latest, every_ms, nth = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local by, step, mark = ARGV[9], ARGV[10], ARGV[11]
local answer = step_answer(KEYS[8], step)
if answer then return answer end
local to_now = ARGV[5] == "now"
local by_ms = not to_now and tonumber(ARGV[5])
local now_digits = digits(now)

-- moved(ms): when what was at ms is to be.
local function moved(ms)
  local offset = math.floor(nth * every_ms)
  local at = to_now and math.min(tonumber(ms), now + offset) or tonumber(ms) + by_ms + offset
  return digits(math.max(0, math.min(at, latest)))
end

local looked_at, shifted, claimed, unreadable, later, work, places, tags, rest = 0, 0, 0, 0, 0, 0, {}, {}, {}
local any_aside = redis.call("EXISTS", due_set(keys, "paused")) == 1
for i = 12, #ARGV do
  if work >= WORK_AT_ONCE then break end
  local id = ARGV[i]
  local shifted_before = shifted
  looked_at = looked_at + 1
  work = work + 0.5
  local score = scheduled_score(keys, id)
  local record = score and redis.call("HGET", messages, id)
  -- An unreadable message is left for an operator.
  local options = record and valid_options(record)
  if options and (not began_before(id, options, mark) or was_attempted(KEYS[7], id, mark)) then
    later = later + 1
  elseif options then
    work = work + work_of(record, options)
    if options.n and not to_now then options.n = moved(options.n) end
    add_change(options, now_digits, by)
    local due = moved(score)
    redis.call("HSET", messages, id, join_record(moved(due_of(record)), options, payload_of(record)))
    if any_aside then take_back(keys, lane_of(options), id) end
    collect(places, lane_of(options), id, due)
    collect_tags(tags, id, options, due)
    shifted, nth = shifted + 1, nth + 1
  elseif record then
    unreadable = unreadable + 1
  elseif redis.call("ZSCORE", KEYS[6], id) then
    claimed = claimed + 1
  end
  if shifted == shifted_before then rest[#rest + 1] = id end
end
index_all_tags(tag_prefix, tags)
local head = enqueue_all(keys, places, wake_channel, shard, now, true)
return note_step(KEYS[8], step, { looked_at, shifted, head, claimed, unreadable, later, unpack(rest) })
