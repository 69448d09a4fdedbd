--@include lib/clock.lua
--@include lib/streams.lua
-- The invariants of the keys of a shard between two calls, in one place: the audit reports what breaks them, and a
-- repair checks again before it writes.
-- Each check calls add(kind, name, detail) for each finding; src/audit/kinds.ts describes the kinds.
--
-- KEYS[1]  scheduled  zset    message id -> due time (epoch ms); the main due set, of which lanes are suffixes
-- KEYS[2]  claimed    zset    message id -> lock end (epoch ms)
-- KEYS[3]  dead       zset    message id -> became a dead letter at (epoch ms)
-- KEYS[4]  messages   hash    message id -> record
-- KEYS[5]  attempts   hash    message id -> "<failures> <recoveries>"
-- KEYS[6]  failures   hash    message id -> reason and last attempts
-- KEYS[7]  history    hash    message id -> history entry
-- KEYS[8]  delivered  zset    message id -> finished at (epoch ms)
-- KEYS[9]  dropped    zset    message id -> finished at (epoch ms)
-- KEYS[10] laned      zset    message id in a lane -> due time (epoch ms)
-- KEYS[11] hosts      zset    lane of a webhook host -> due time of its first message
-- KEYS[12] queues     zset    lane of a pull queue -> due time of its first message
-- KEYS[13] claims     string  the number of claims so far
-- KEYS[14] streams    set     names of streams
-- KEYS[15] cancelled  zset    message id -> cancelled at (epoch ms)
-- KEYS[16] cancellations  hash  message id -> history entry of a cancelled message
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  lock_prefix      string   lock key = lock_prefix .. id
-- ARGV[3]  tag_prefix       string   tag index key = tag_prefix .. tag
-- ARGV[4]  seen_prefix      string   key of a finished client-made id = seen_prefix .. id
-- ARGV[5]  call_prefix      string   key of what a schedule call answered = call_prefix .. token

local shard = {
  scheduled = KEYS[1], claimed = KEYS[2], dead = KEYS[3], messages = KEYS[4], attempts = KEYS[5], failures = KEYS[6],
  history = KEYS[7], delivered = KEYS[8], dropped = KEYS[9], laned = KEYS[10], hosts = KEYS[11], queues = KEYS[12],
  claims = KEYS[13], streams = KEYS[14], cancelled = KEYS[15], cancellations = KEYS[16],
  now = redis_now(ARGV[1]), lock_prefix = ARGV[2], tag_prefix = ARGV[3], seen_prefix = ARGV[4],
  call_prefix = ARGV[5],
}

-- The lock of a claim may expire a little before the score, as a script takes time.
local LOCK_SLACK_MS, LAST_MS = 1000, 253402300799999

local known_json = {}

-- is_json(text): whether it is a JSON object; cached, as many messages share a text.
local function is_json(text)
  if known_json[text] == nil then
    local readable, value = pcall(cjson.decode, text)
    known_json[text] = readable and type(value) == "table"
  end
  return known_json[text]
end

-- is_destination(text): whether it is a stored destination, in the present or the older form.
local function is_destination(text)
  if string.byte(text) == 123 then return is_json(text) end
  local rest = string.match(text, " (.*)$")
  return lane_of({ d = text }) ~= "" and (not rest or string.byte(rest) ~= 123 or is_json(rest))
end

-- is_record(record): whether scripts and servers can read it; the payload is not checked.
local function is_record(record)
  local due, after = string.match(record, "^(%d+)([\n{])")
  if not due or tonumber(due) > LAST_MS then return false end
  if after == "\n" then return true end
  local text = options_text(record)
  local readable, options = pcall(cjson.decode, text)
  if not text or not readable or type(options) ~= "table" then return false end
  if options.r ~= nil and not (type(options.r) == "string" and is_json(options.r)) then return false end
  return options.d == nil or type(options.d) == "string" and is_destination(options.d)
end

local there = {}

-- score_in(key, id): its score as text, false if there is none. Asks once per call whether the key exists.
local function score_in(key, id)
  if there[key] == nil then there[key] = redis.call("EXISTS", key) == 1 end
  return there[key] and redis.call("ZSCORE", key, id)
end

-- places_of(id, options): {main, stream, lane, paused, claimed, dead}: its score in each set that holds messages,
-- false if it is not there. lane is the lane of the host or queue in its options.
local function places_of(id, options)
  local lane = lane_of(options)
  return {
    main = score_in(shard.scheduled, id), stream = score_in(due_set(shard, "stream"), id),
    lane = is_indexed(lane) and score_in(due_set(shard, lane), id), paused = score_in(due_set(shard, "paused"), id),
    claimed = score_in(shard.claimed, id), dead = score_in(shard.dead, id),
  }
end

-- has_lock(id): whether a claim holds it.
local function has_lock(id)
  return redis.call("EXISTS", shard.lock_prefix .. id) == 1
end

local PLACES = { "main", "stream", "lane", "paused", "claimed", "dead" }

local function check_tags(id, options, due, places, add)
  for _, tag in ipairs(options and options.t or {}) do
    local listed = redis.pcall("ZSCORE", shard.tag_prefix .. tag, id)
    if type(listed) == "table" then
      add("wrong-type", "tag " .. tag, "holds no sorted set")
    elseif places.dead and not (due or places.claimed) then
      if listed then add("tag-index", id, "a dead letter is listed under " .. tag) end
    elseif (due or places.claimed) and not listed then
      add("tag-index", id, "not listed under " .. tag)
    elseif due and not places.claimed and listed ~= due then
      add("tag-index", id, "listed under " .. tag .. " at " .. listed .. ", due at " .. due)
    end
  end
end

-- check_message(id, record, add): all invariants of a message with a record.
local function check_message(id, record, add)
  local readable = is_record(record)
  if not readable then add("unreadable-record", id, string.sub(record, 1, 80)) end
  local options = options_of(record)
  local lane, places, found = lane_of(options), places_of(id, options), {}
  local laned = score_in(shard.laned, id)
  for _, place in ipairs(PLACES) do
    if places[place] then found[#found + 1] = place end
  end
  local in_index = places.lane or places.paused
  -- The lane of an unreadable record is unknown: only the index says that it is in one.
  if not readable and laned and not places.paused then found[#found + 1] = "lane" end
  local due = in_index or places.main or places.stream
  if #found == 0 then add("no-state", id, "") end
  if #found > 1 then add("several-states", id, table.concat(found, ", ")) end
  if readable then
    local own_place = lane == "" and places.main or lane == "stream" and places.stream or in_index
    if #found == 1 and due and not own_place then
      add("wrong-lane", id, "its record names " .. (lane == "" and "no lane" or lane))
    end
    if (laned or "none") ~= (in_index or "none") then
      local in_lane = in_index or "not there"
      add("lane-index", id, (laned or "not listed") .. " in the index, " .. in_lane .. " in its lane")
    end
    if due and tonumber(due) < tonumber(due_of(record)) then
      add("early", id, "scheduled at " .. due .. ", due at " .. due_of(record))
    end
    local stream = stream_of(options)
    if stream and redis.call("SISMEMBER", shard.streams, stream) == 0 then
      add("stream-unlisted", id, "for stream " .. stream)
    end
  end
  for _, place in ipairs(found) do
    local score = tonumber(places[place] or 0)
    if score < 0 or score > LAST_MS or score % 1 ~= 0 then
      add("bad-time", id, place .. " at " .. tostring(places[place]))
    end
  end
  if places.claimed and tonumber(places.claimed) > shard.now + LOCK_SLACK_MS and not has_lock(id) then
    add("claim-without-lock", id, "claimed until " .. places.claimed)
  end
  check_tags(id, options, due, places, add)
  if redis.call("HEXISTS", shard.history, id) == 1 then add("finished-and-stored", id, table.concat(found, ", ")) end
end

-- check_member(set, id, add): members of a set of messages without a record, which check_message does not see.
local function check_member(set, id, add)
  if redis.call("HEXISTS", shard.messages, id) == 0 then add("no-record", id, "in " .. set) end
end

-- check_in_lane(lane, id, add): the same for a lane, where messages must also belong.
local function check_in_lane(lane, id, add)
  local record = redis.call("HGET", shard.messages, id)
  if not record then
    add("no-record", id, "in lane " .. lane)
  elseif is_record(record) and lane ~= "paused" and lane_of(options_of(record)) ~= lane then
    add("wrong-lane", id, "in lane " .. lane)
  end
end

-- check_lane(lane, add): the index of lanes has the due time of the lane's first message.
local function check_lane(lane, add)
  local head = redis.call("ZRANGE", due_set(shard, lane), 0, 0, "WITHSCORES")[2]
  local index, other = shard.hosts, shard.queues
  if string.sub(lane, 1, 5) == "pull:" then index, other = other, index end
  local listed = redis.call("ZSCORE", index, lane)
  if (listed or "none") ~= (head or "none") or redis.call("ZSCORE", other, lane) then
    add("lane-head", lane, (listed or "not listed") .. " in the index, first due at " .. (head or "none"))
  end
end

local function check_tagged(tag, id, add)
  local record = redis.call("HGET", shard.messages, id)
  if record and not is_record(record) then return end
  for _, own in ipairs(record and (options_of(record) or {}).t or {}) do
    if own == tag then return end
  end
  local why = record and "it does not have" or "is left of a message that is gone"
  add("tag-index", id, "listed under " .. tag .. ", which " .. why)
end

local function check_attempts(id, counts, add)
  if not string.match(counts, "^%d+ %d+$") then
    add("unreadable-entry", id, "attempts: " .. string.sub(counts, 1, 80))
  end
  if redis.call("HEXISTS", shard.messages, id) == 0 then add("orphan", id, "attempts") end
end

local function check_failures(id, text, add)
  if redis.call("HEXISTS", shard.messages, id) == 0 then add("orphan", id, "failures") end
  local claims
  for line in string.gmatch(text, "\n([^\n]*)") do
    if not string.match(line, "^{.*}$") then add("unreadable-entry", id, "failures: " .. string.sub(line, 1, 80)) end
    local claim = tonumber(string.match(line, '"claim":(%d+)'))
    claims = claims or tonumber(redis.call("GET", shard.claims) or 0) or 0
    if claim and claim > claims then add("counter", id, "claim " .. claim .. " of " .. claims) end
  end
end

local function check_outcome(id, entry, add)
  local status, finished_at = string.match(entry, "^(%a+) (%d+) %d+ %d+ %d+\n")
  if status ~= "delivered" and status ~= "dropped" then
    return add("unreadable-entry", id, "history: " .. string.sub(entry, 1, 80))
  end
  local listed = redis.call("ZSCORE", shard[status], id)
  if listed ~= finished_at then
    add("history-index", id, status .. " at " .. finished_at .. ", listed at " .. (listed or "none"))
  end
  local other = status == "delivered" and "dropped" or "delivered"
  if redis.call("ZSCORE", shard[other], id) then add("history-index", id, status .. ", and listed as " .. other) end
end

local CANCELLATION = "^cancelled (%d+) %d+ %d+ %d+ ?[%w._-]*\n"

-- check_cancellation(id, entry, add): a server of an older version may have used the id again.
local function check_cancellation(id, entry, add)
  local cancelled_at = string.match(entry, CANCELLATION)
  if not cancelled_at then return add("unreadable-entry", id, "cancellations: " .. string.sub(entry, 1, 80)) end
  local listed = redis.call("ZSCORE", shard.cancelled, id)
  if listed ~= cancelled_at then
    add("history-index", id, "cancelled at " .. cancelled_at .. ", listed at " .. (listed or "none"))
  end
end

local ENTRIES_OF = { delivered = "history", dropped = "history", cancelled = "cancellations" }

local function check_finished(set, id, add)
  if redis.call("HEXISTS", shard[ENTRIES_OF[set]], id) == 0 then
    add("history-index", id, "listed as " .. set .. ", without an entry")
  end
end

local function check_lock(id, add)
  local ends_in = redis.call("PTTL", shard.lock_prefix .. id)
  if ends_in == -1 then add("no-expiry", id, "lock") end
  if ends_in ~= -2 and not redis.call("ZSCORE", shard.claimed, id) then add("lock-without-claim", id, "") end
end

local function check_seen(id, add)
  local key = shard.seen_prefix .. id
  local text = redis.call("GET", key)
  if not text then return end
  if redis.call("PTTL", key) == -1 then add("no-expiry", id, "known id") end
  if not string.match(text, "^%a+ .+$") then add("unreadable-entry", id, "known id: " .. string.sub(text, 1, 80)) end
  if redis.call("HEXISTS", shard.messages, id) == 1 then add("finished-and-stored", id, "known id") end
end

local function check_call(token, add)
  if redis.call("PTTL", shard.call_prefix .. token) == -1 then add("no-expiry", token, "answer of a call") end
end

local function check_claims(_, add)
  local text = redis.call("GET", shard.claims)
  if text and not string.match(text, "^%d+$") then add("unreadable-entry", "claims", string.sub(text, 1, 80)) end
end

local function check_stream(stream, add)
  if redis.call("SISMEMBER", shard.streams, stream) == 0 then add("stream-unlisted", stream, "") end
end
