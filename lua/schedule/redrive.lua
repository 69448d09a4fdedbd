#!lua
-- redrive: put dead letters back on the schedule, now or at their own time if that is later, without their failures and
-- recoveries.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms); the main due set, of which lanes are suffixes
-- KEYS[2]  dead       zset  message id -> became a dead letter at (epoch ms)
-- KEYS[3]  messages   hash  message id -> record
-- KEYS[4]  attempts   hash  message id -> "<failures> <recoveries>"
-- KEYS[5]  laned      zset  message id in a lane -> due time (epoch ms)
-- KEYS[6]  hosts      zset  lane of a webhook host -> due time of its first message
-- KEYS[7]  queues     zset  lane of a pull queue -> due time of its first message
-- KEYS[8]  streams    set   names of streams
-- KEYS[9]  failures   hash  message id -> reason and last attempts
-- KEYS[10] step_key   string  what the latest step of an operation answered
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  wake_channel     string   where sleeping servers listen
-- ARGV[3]  shard            integer  named in what is published
-- ARGV[4]  tag_prefix       string   tag index key = tag_prefix .. tag
-- ARGV[5]  from             epoch ms the first is due at; "" for now
-- ARGV[6]  every_ms         ms between one and the next, not necessarily whole; 0 for all at once
-- ARGV[7]  before           integer  how many of the same act went before: they have had their times
-- ARGV[8]  changes          JSON     option letters (lib/record.lua) and their new values, "" to remove one
-- ARGV[9]  by               string   name of the key that redrives them, "" for none
-- ARGV[10] step             integer  of the operation that this is a step of; "" for none (lib/step.lua)
-- ARGV[11..] id             string   each once
--
-- Returns  {looked_at, from, head, unreadable, id, ...}: how many ids were processed, fewer than asked if they are much
--          work (lib/work.lua); when the first is due; "<ms>:<lane>" of the next message if one of them became it, else
--          ""; how many dead letters are unreadable, and so stay dead; and the ids that are no dead letters.
--          Empty: a later step of the operation has run
-- Writes   only for dead letters that can be read; publishes for each lane that has a new first message; the answer of
--          a step
-- Cost     O(n log S), n = ids, S = scheduled messages
--@include lib/clock.lua
--@include lib/failures.lua
--@include lib/readable.lua
--@include lib/step.lua
--@include lib/streams.lua
--@include lib/tags.lua
--@include lib/work.lua

local dead, messages, attempts, failures = KEYS[2], KEYS[3], KEYS[4], KEYS[9]
local due = { scheduled = KEYS[1], laned = KEYS[5], hosts = KEYS[6], queues = KEYS[7] }
local now = redis_now(ARGV[1])
local wake_channel, shard, tag_prefix = ARGV[2], ARGV[3], ARGV[4]
local from = ARGV[5] == "" and now or tonumber(ARGV[5])
local every_ms, nth = tonumber(ARGV[6]), tonumber(ARGV[7])
local changes, by, step = cjson.decode(ARGV[8]), ARGV[9], ARGV[10]
local LATEST = 253402300799999
local answer = step_answer(KEYS[10], step)
if answer then return answer end

-- change(id, record, options): gives it the new options, if there are any.
local function change(id, record, options)
  if not next(changes) then return end
  for letter, value in pairs(changes) do options[letter] = value ~= "" and value or nil end
  add_change(options, digits(now), by)
  redis.call("HSET", messages, id, join_record(due_of(record), options, payload_of(record)))
  local stream = stream_of(options)
  if stream then register_stream({ names = KEYS[8] }, stream) end
end

local places, tags, reply, work, looked_at, unreadable = {}, {}, { 0, digits(from), "", 0 }, 0, 0, 0
for i = 11, #ARGV do
  if work >= WORK_AT_ONCE then break end
  local id = ARGV[i]
  looked_at = looked_at + 1
  work = work + 0.5
  local died_at = redis.call("ZSCORE", dead, id)
  local record = died_at and redis.call("HGET", messages, id)
  local options = record and valid_options(record)
  if options and may_be_json(payload_of(record)) then
    work = work + work_of(record, options)
    -- Its own time may have been changed to a later one: never early.
    local due_at = digits(math.max(tonumber(due_of(record)), math.min(LATEST, from + math.floor(nth * every_ms))))
    nth = nth + 1
    redis.call("ZREM", dead, id)
    redis.call("HDEL", attempts, id)
    note_redriven(failures, id, now, tonumber(died_at), by)
    change(id, record, options)
    collect(places, lane_of(options), id, due_at)
    collect_tags(tags, id, options, due_at)
  elseif record then
    unreadable = unreadable + 1
  else
    reply[#reply + 1] = id
  end
end
reply[1], reply[4] = looked_at, unreadable
index_all_tags(tag_prefix, tags)
reply[3] = enqueue_all(due, places, wake_channel, shard, now)
return note_step(KEYS[10], step, reply)
