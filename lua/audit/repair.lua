#!lua
-- repair: repair messages and keys of a shard, if that is safe: no message with a record is lost, none becomes due
-- before its time, and a message that may be in delivery is not claimed again before its lock ends.
--
-- KEYS[1..16] and ARGV[1..5]: see lib/audit.lua
-- ARGV[6]  wake_channel     string   where sleeping servers listen
-- ARGV[7]  shard            integer  named in what is published
-- ARGV[8]  known_for_ms     integer  how long a finished client-made id stays known, where that has no end
-- ARGV[9]  part             string   a collection as audit-page has them, or a part as audit-keys has them
-- ARGV[10] name             string   which lane or tag; "" for the others
-- ARGV[11..] about          string   the name of a finding: id of a message, a lane or a stream; each once
--
-- Returns  a word per name: "repaired", "left" if a repair is not safe, "sound" if nothing is wrong any more
-- Writes   only for names with a finding at this moment; publishes for each lane that has a new first message
-- Cost     O(n log S), n = names, S = scheduled messages
--@include lib/attempts.lua
--@include lib/audit.lua
--@include lib/tags.lua

local wake_channel, number, known_for_ms = ARGV[6], ARGV[7], tonumber(ARGV[8])
local part, name = ARGV[9], ARGV[10]
-- A lock without a claim ends after this, unless its holder extends it.
local GRACE_MS = 60000

-- remove(id, lane): removes it from all sets of messages but the claimed and the dead.
local function remove(id, lane)
  redis.call("ZREM", shard.scheduled, id)
  redis.call("ZREM", due_set(shard, "stream"), id)
  redis.call("ZREM", due_set(shard, "paused"), id)
  redis.call("ZREM", shard.laned, id)
  if is_indexed(lane) then
    redis.call("ZREM", due_set(shard, lane), id)
    index_lane(shard, lane)
  end
end

-- due_at_of(record, places, elsewhere): the latest time at which it is scheduled in any set, and never before its own:
-- a retry keeps waiting.
local function due_at_of(record, places, elsewhere)
  local latest = tonumber(due_of(record))
  for _, place in ipairs({ "main", "stream", "lane", "paused", "elsewhere" }) do
    local score = tonumber(place == "elsewhere" and elsewhere or places[place] or "")
    if score and score <= LAST_MS and score % 1 == 0 then latest = math.max(latest, score) end
  end
  return digits(latest)
end

-- schedule_it(id, options, due_at): makes "scheduled" its only state.
local function schedule_it(id, options, due_at)
  local lane, places = lane_of(options), {}
  remove(id, lane)
  redis.call("ZREM", shard.claimed, id)
  redis.call("ZREM", shard.dead, id)
  collect(places, lane, id, due_at)
  index_tags(shard.tag_prefix, id, options, due_at)
  enqueue_all(shard, places, wake_channel, number, shard.now, true)
end

-- claim_it(id, options, record): makes "claimed" its only state until its lock ends; then it is recovered.
local function claim_it(id, options, record)
  local left_ms = redis.call("PTTL", shard.lock_prefix .. id)
  if left_ms == -1 then
    left_ms = GRACE_MS
    redis.call("PEXPIRE", shard.lock_prefix .. id, left_ms)
  end
  remove(id, lane_of(options))
  redis.call("ZREM", shard.dead, id)
  redis.call("ZADD", shard.claimed, digits(shard.now + math.max(0, left_ms)), id)
  for _, tag in ipairs(options and options.t or {}) do
    redis.pcall("ZADD", shard.tag_prefix .. tag, "NX", due_of(record), id)
  end
end

-- repair_message(id, elsewhere): chooses one state, so that no message is lost or duplicated. A message with a lock
-- stays claimed. A scheduled message stays scheduled, at its latest time, also if it is dead too. A message that was
-- claimed without a lock, or is in no state, may have been in delivery: it is due again like a recovered one. elsewhere
-- is when it was due in a lane that is not its own, nil if it was in none.
local function repair_message(id, elsewhere)
  local record = redis.call("HGET", shard.messages, id)
  if not record or not is_record(record) then return end
  local options = options_of(record)
  local places, lock = places_of(id, options), has_lock(id)
  local due = places.main or places.stream or places.lane or places.paused or elsewhere
  if lock and (places.claimed or not (due or places.dead)) then
    claim_it(id, options, record)
  elseif due then
    schedule_it(id, options, due_at_of(record, places, elsewhere))
  elseif places.dead and not places.claimed then
    remove(id, lane_of(options))
    local score = tonumber(places.dead)
    if score < 0 or score > LAST_MS or score % 1 ~= 0 then
      redis.call("ZADD", shard.dead, digits(shard.now), id)
    end
    unindex_tags(shard.tag_prefix, id, options)
  else
    schedule_it(id, options, due_of(record))
    add_to_counts(shard.attempts, id, 0, 1)
  end
  local stream = stream_of(options)
  if stream then redis.call("SADD", shard.streams, stream) end
end

local function is_stored(id)
  return redis.call("HEXISTS", shard.messages, id) == 1
end

-- drop_member(key): for members of a set of messages: without a record they cannot be delivered.
local function drop_member(key)
  return function(id)
    if is_stored(id) then return end
    redis.call("ZREM", key, id)
    if key == shard.claimed then redis.call("DEL", shard.lock_prefix .. id) end
  end
end

local function repair_in_lane(id)
  local score = redis.call("ZSCORE", due_set(shard, name), id)
  redis.call("ZREM", due_set(shard, name), id)
  index_lane(shard, name)
  if is_stored(id) then repair_message(id, score) else redis.call("ZREM", shard.laned, id) end
end

local function repair_lane(lane)
  redis.call("ZREM", string.sub(lane, 1, 5) == "pull:" and shard.hosts or shard.queues, lane)
  index_lane(shard, lane)
end

local function repair_attempts(id)
  redis.call("HDEL", shard.attempts, id)
end

-- repair_failures(id): keeps the reason and the readable attempts; claim numbers continue from the highest known one.
local function repair_failures(id)
  if not is_stored(id) then return redis.call("HDEL", shard.failures, id) end
  local text, highest = redis.call("HGET", shard.failures, id), 0
  local kept = string.match(text, "^[^\n]*")
  for line in string.gmatch(text, "\n([^\n]*)") do
    if string.match(line, "^{.*}$") then
      kept = kept .. "\n" .. line
      highest = math.max(highest, tonumber(string.match(line, '"claim":(%d+)') or 0))
    end
  end
  redis.call("HSET", shard.failures, id, kept)
  local claims = tonumber(redis.call("GET", shard.claims) or 0) or 0
  if highest > claims then redis.call("SET", shard.claims, digits(highest)) end
end

local function repair_outcome(id)
  local entry = redis.call("HGET", shard.history, id) or ""
  local status, finished_at = string.match(entry, "^(%a+) (%d+) %d+ %d+ %d+\n")
  if status ~= "delivered" and status ~= "dropped" then return end
  redis.call("ZREM", status == "delivered" and shard.dropped or shard.delivered, id)
  redis.call("ZADD", shard[status], finished_at, id)
end

local function repair_cancellation(id)
  local cancelled_at = string.match(redis.call("HGET", shard.cancellations, id) or "", CANCELLATION)
  if cancelled_at then redis.call("ZADD", shard.cancelled, cancelled_at, id) end
end

local function repair_finished(id)
  if redis.call("HEXISTS", shard[ENTRIES_OF[part]], id) == 0 then
    redis.call("ZREM", shard[part], id)
  elseif part == "cancelled" then
    repair_cancellation(id)
  else
    repair_outcome(id)
  end
end

-- repair_lock(id): a lock without a claim must not block its message for long; without a message it is deleted.
local function repair_lock(id)
  local key = shard.lock_prefix .. id
  if is_stored(id) then
    if redis.call("PTTL", key) == -1 then redis.call("PEXPIRE", key, GRACE_MS) end
    repair_message(id)
  else
    redis.call("DEL", key)
  end
end

local function repair_seen(id)
  local key = shard.seen_prefix .. id
  if redis.call("PTTL", key) == -1 then redis.call("PEXPIRE", key, known_for_ms) end
end

local function repair_call(token)
  redis.call("PEXPIRE", shard.call_prefix .. token, GRACE_MS)
end

-- Each part: its check and its repair.
local function member_check(set) return function(id, add) check_member(set, id, add) end end
local function entry_check(hash, check)
  return function(id, add)
    local value = redis.call("HGET", hash, id)
    if value then check(id, value, add) end
  end
end
local parts = {
  messages = { entry_check(shard.messages, check_message), repair_message },
  scheduled = { member_check("scheduled"), drop_member(shard.scheduled) },
  stream = { member_check("stream"), drop_member(due_set(shard, "stream")) },
  laned = { member_check("laned"), drop_member(shard.laned) },
  claimed = { member_check("claimed"), drop_member(shard.claimed) },
  dead = { member_check("dead"), drop_member(shard.dead) },
  lane = { function(id, add) check_in_lane(name, id, add) end, repair_in_lane },
  tag = {
    function(id, add) check_tagged(name, id, add) end,
    function(id) redis.call("ZREM", shard.tag_prefix .. name, id) end,
  },
  attempts = { entry_check(shard.attempts, check_attempts), repair_attempts },
  failures = { entry_check(shard.failures, check_failures), repair_failures },
  history = { entry_check(shard.history, check_outcome), repair_outcome },
  delivered = { function(id, add) check_finished(part, id, add) end, repair_finished },
  dropped = { function(id, add) check_finished(part, id, add) end, repair_finished },
  cancellations = { entry_check(shard.cancellations, check_cancellation), repair_cancellation },
  cancelled = { function(id, add) check_finished(part, id, add) end, repair_finished },
  hosts = { check_lane, repair_lane },
  queues = { check_lane, repair_lane },
  lanes = { check_lane, repair_lane },
  lock = { check_lock, repair_lock },
  seen = { check_seen, repair_seen },
  call = { check_call, repair_call },
  streams = {
    check_stream,
    function(stream) redis.call("SADD", shard.streams, stream) end,
  },
}
local check, repair = unpack(parts[part])

local function is_wrong(about)
  local found = false
  there = {} -- a repair may have deleted keys
  check(about, function() found = true end)
  return found
end

local words = {}
for i = 11, #ARGV do
  local about = ARGV[i]
  if not is_wrong(about) then
    words[#words + 1] = "sound"
  else
    repair(about)
    words[#words + 1] = is_wrong(about) and "left" or "repaired"
  end
end
return words
