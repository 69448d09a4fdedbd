#!lua flags=allow-oom
-- claim: take due messages, lock each, and return those this call locked; move those for streams into theirs.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms); the main due set, of which lanes are suffixes
-- KEYS[2]  claimed    zset  message id -> lock end (epoch ms)
-- KEYS[3]  messages   hash  message id -> record, which opens with the due time
-- KEYS[4]  attempts   hash  message id -> "<failures> <recoveries>"
-- KEYS[5]  dead       zset  message id -> given up at (epoch ms)
-- KEYS[6]  history    hash  message id -> history entry
-- KEYS[7]  delivered  zset  message id -> finished at (epoch ms)
-- KEYS[8]  dropped    zset  message id -> finished at (epoch ms)
-- KEYS[9]  laned      zset  message id in a lane -> due time (epoch ms)
-- KEYS[10] hosts      zset  lane of a webhook host -> due time of its first message
-- KEYS[11] queues     zset  lane of a pull queue -> due time of its first message
-- KEYS[12] failures   hash  message id -> reason and last attempts
-- KEYS[13] claims     string  the number of claims so far
-- KEYS[14] streams    set   names of streams
-- KEYS[15] clock      string  the latest time at which there was a claim, see lib/clock-step.lua
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock in tests; 0 in production
-- ARGV[2]  wake_channel     string   where sleeping servers listen
-- ARGV[3]  shard            integer  named in what is published
-- ARGV[4]  lock_prefix      string   lock key = lock_prefix .. id, in the shard's slot
-- ARGV[5]  tag_prefix       string   tag index key = tag_prefix .. tag
-- ARGV[6]  seen_prefix      string   key of a finished client-made id = seen_prefix .. id
-- ARGV[7]  stream_prefix    string   stream key = stream_prefix .. name
-- ARGV[8]  history_max      integer  history entries kept in this shard; 0 keeps none
-- ARGV[9]  history_ttl_ms   integer  how long they are kept; 0 keeps none
-- ARGV[10] dedup_window_ms  integer  how long finished client-made ids stay known
-- ARGV[11] dead_max         integer  dead letters kept in this shard
-- ARGV[12] dead_ttl_ms      integer  how long they are kept
-- ARGV[13] max_recoveries   integer  a claim that expires after so many makes its message a dead letter
-- ARGV[14] token            string   unique to this call; acknowledge, release and extend prove it
-- ARGV[15] lock_ms          integer  how long the locks last
-- ARGV[16] limit            integer  messages at most from the main due set
-- ARGV[17] stream_limit     integer  messages at most to be moved into streams
-- ARGV[18] slots            integer  messages at most from all lanes of hosts or queues together
-- ARGV[19] host_slots       integer  at most from each host's lane that is not named below; 0 leaves out hosts
-- ARGV[20] reserve          integer  slots of which a host gets more only while it has fewer than are left, unless it
--                                    is the only one there is
-- ARGV[21..]                two per lane that has a limit of its own:
--            lane
--            room  how many messages at most from it
--
-- All in all it returns fewer once their records pass 4 MiB, or if they are much work (lib/work.lua).
--
-- Returns  {now, next_in, expiry_in, held_back, recovered, dropped, died, trimmed, first_claim, moved, late, ..., id, due,
--          record, attempts, ...}
--            now          Redis's clock, epoch ms, with a fraction; the times below are from the whole ms
--            next_in      ms until the next message that this caller could have is due, 0 if one is; "" for none
--            expiry_in    ms until the next claim expires unless it is extended; "" when there is none
--            held_back    1 when something is due that there is no slot for, else 0
--            recovered    claims found expired and put back to due
--            dropped      messages past their not-after that were dropped
--            died         messages that became dead letters: past their not-after, recovered too often, or for a
--                         stream that is none
--            trimmed      dead letters deleted because there are too many or they are too old
--            first_claim  the claim number of the first message returned; it grows by 1 with each
--            moved        how many were moved into streams, followed by how late each was, ms
--            due          when this attempt was due, epoch ms (a retry's own time)
--            attempts     "<failures> <recoveries>", "" when there was neither; and, behind another space, why Redis
--                         refused it, for a message of a stream that may be taken later: its delivery has failed
-- Writes   locks and claimed entries for what it returns; publishes "help <shard>" when it leaves some of what is due, so
--          that other servers come; expired claims go back to their lane; stream entries.
--          A clock that was set back is heeded first.
--          A due id without a record is forgotten. One that another lock holds is parked in claimed until that lock
--          ends: never returned, never lost.
-- Cost     O((n + r + l) log S), n = claimed now, r = recovered (500 at most), l = full lanes named
--@include lib/clock.lua
--@include lib/batch.lua
--@include lib/lock.lua
--@include lib/wake.lua
--@include lib/lanes.lua
--@include lib/attempts.lua
--@include lib/record.lua
--@include lib/readable.lua
--@include lib/tags.lua
--@include lib/failures.lua
--@include lib/history.lua
--@include lib/seen.lua
--@include lib/dead-letters.lua
--@include lib/streams.lua
--@include lib/clock-step.lua
--@include lib/set-back.lua
--@include lib/work.lua

local claimed, messages, attempts = KEYS[2], KEYS[3], KEYS[4]
local due = { scheduled = KEYS[1], laned = KEYS[9], hosts = KEYS[10], queues = KEYS[11] }
local history = { entries = KEYS[6], delivered = KEYS[7], dropped = KEYS[8] }
local failures, claims = KEYS[12], KEYS[13]
local now, exact_now = redis_now(tonumber(ARGV[1]))
local wake_channel, shard = ARGV[2], ARGV[3]
local lock_prefix, tag_prefix, seen_prefix = ARGV[4], ARGV[5], ARGV[6]
local streams = { names = KEYS[14], prefix = ARGV[7] }
history.max, history.ttl_ms = tonumber(ARGV[8]), tonumber(ARGV[9])
local dedup_window_ms = tonumber(ARGV[10])
local dead_letters = { dead = KEYS[5], failures = failures, messages = messages, attempts = attempts,
  tag_prefix = tag_prefix, max = tonumber(ARGV[11]), ttl_ms = tonumber(ARGV[12]) }
local max_recoveries, token, lock_ms = tonumber(ARGV[13]), ARGV[14], tonumber(ARGV[15])
local limit, stream_limit = tonumber(ARGV[16]), tonumber(ARGV[17])
local slots, host_slots, reserve = tonumber(ARGV[18]), tonumber(ARGV[19]), tonumber(ARGV[20])
local FIRST_LANE = 21
local lock_end = digits(now + lock_ms)
-- The lock itself ends by Redis's own clock, also where tests have moved it for us.
local lock_until = digits(now + lock_ms - tonumber(ARGV[1]))
-- One reply holds this much of records at most, and the few that were looked at together with the last.
local REPLY_BYTES, LOOK_AT_ONCE, RECOVER_AT_ONCE, LANES_AT_ONCE = 4194304, 8, 500, 64
local dropped, died = 0, 0
local clock = { mark = KEYS[15], claimed = claimed, lock_prefix = lock_prefix }
local marked, set_back_ms = check_clock(clock, now)
if set_back_ms > 0 then
  local places = {}
  set_back_end_times({ dead_letters.dead, history.delivered, history.dropped }, history.entries, now)
  set_back_retries(due, places, attempts, messages, tag_prefix, now, set_back_ms)
  place_all(due, places, wake_channel, shard, now, true)
  redis.call("SET", clock.mark, digits(now))
end

-- recover(): puts back the messages whose claim has expired, their server having died or lost them; some of them if they
-- are much work.
local function recover()
  local expired = redis.call("ZRANGE", claimed, "-inf", now, "BYSCORE", "LIMIT", 0, RECOVER_AT_ONCE)
  if #expired == 0 then return 0 end
  local places, tags, recovered, work, looked_at = {}, {}, 0, 0, 0
  for first = 1, #expired, LOOK_AT_ONCE do
    if work >= WORK_AT_ONCE then break end
    local last = math.min(first + LOOK_AT_ONCE - 1, #expired)
    local values = redis.call("HMGET", messages, unpack(expired, first, last))
    for i = first, last do
      local id, record = expired[i], values[i - first + 1]
      local options = record and options_of(record)
      work = work + work_of(record or "", options)
      if record and select(2, counts_of(attempts, id)) >= max_recoveries then
        died = died + 1
        move_to_dead_letters(dead_letters, id, options, "recoveries", "", now)
      elseif record then
        recovered = recovered + 1
        gather(places, lane_of(options), id, due_of(record))
        collect_tags(tags, id, options, due_of(record))
        add_to_counts(attempts, id, 0, 1)
        note_failure(failures, id, "lock lost", "")
      end
    end
    looked_at = last
  end
  redis.call("ZREMRANGEBYRANK", claimed, 0, looked_at - 1)
  for i = #expired, looked_at + 1, -1 do expired[i] = nil end
  -- The lock may outlive its entry when clocks are moved: its holder has lost the claim either way.
  unlock(lock_prefix, expired)
  index_all_tags(tag_prefix, tags)
  place_all(due, places, wake_channel, shard, now)
  return recovered
end

-- What is taken, in order: ids, when each was due, records; and of how many bytes.
local taken, due_at, records, bytes = {}, {}, {}, 0

-- What the tags of those taken may cost that are not just locked, but moved into streams, dropped or dead: in parts as in
-- lib/work.lua; counted, and not read. How many messages there may be is the caller's to say.
local work = 0
local function work_of_taken(lane, record)
  local text = record and options_text(record)
  if not text or lane ~= "stream" and not string.find(text, '"n":', 1, true) then return 0 end
  local tags = string.match(text, '"t":(%b[])')
  return tags and (1 + select(2, string.gsub(tags, ",", ","))) / 2 or 0
end

-- take(lane, most): takes up to so many due messages off a lane. Returns how many.
local function take(lane, most)
  local set = due_set(due, lane)
  local found = redis.call("ZRANGE", set, "-inf", now, "BYSCORE", "LIMIT", 0, most, "WITHSCORES")
  local before = #taken
  for first = 1, #found, 2 * LOOK_AT_ONCE do
    if bytes > REPLY_BYTES or work >= WORK_AT_ONCE then break end
    local slice = {}
    for i = first, math.min(first + 2 * LOOK_AT_ONCE - 1, #found), 2 do
      slice[#slice + 1] = found[i]
      due_at[#due_at + 1] = found[i + 1]
    end
    local values = redis.call("HMGET", messages, unpack(slice))
    for i = 1, #slice do
      taken[#taken + 1] = slice[i]
      records[#taken] = values[i]
      bytes = bytes + (values[i] and #values[i] or 0)
      work = work + work_of_taken(lane, values[i])
    end
    if is_indexed(lane) then redis.call("ZREM", due.laned, unpack(slice)) end
  end
  local count = #taken - before
  -- What is due is what is first in the set, so its ranks name it: cheaper than n members.
  if count > 0 then redis.call("ZREMRANGEBYRANK", set, 0, count - 1) end
  return count
end

local recovered = recover()
local trimmed = trim_dead(dead_letters, now)
-- Most calls find neither streams nor hosts, and ask once whether there are any.
if redis.call("EXISTS", due_set(due, "stream")) == 0 then stream_limit = 0 end
local any_hosts = host_slots > 0 and redis.call("EXISTS", due.hosts) == 1
local stream_count = 0
if stream_limit > 0 then
  stream_count = take("stream", stream_limit)
  bytes = 0 -- of what is moved nothing is returned
end
if limit > 0 then take("", limit) end

-- free[lane]: what may still be taken of a lane, for those that are named or have been taken from.
local free, touched = {}, {}
for i = FIRST_LANE, #ARGV, 2 do free[ARGV[i]] = tonumber(ARGV[i + 1]) end

-- is_alone(): whether there is one host at most, under way or due: it may have all slots.
local function is_alone()
  local heads = redis.call("ZRANGE", due.hosts, "-inf", now, "BYSCORE", "LIMIT", 0, 2)
  local others = #heads
  for lane in pairs(free) do
    if lane ~= heads[1] then others = others + 1 end
  end
  return others <= 1
end
if not any_hosts or is_alone() then reserve = 0 end

-- room_of(lane): how many may be taken of it. The last slots are not given to those first who have many already: a host
-- that hangs would soon have them all, and whoever comes after would wait for its time-outs. (Dynamic thresholds,
-- as for the shared buffers of a network switch.)
local function room_of(lane)
  local left = free[lane] or host_slots
  local under_way = host_slots - left
  local of_reserve = math.ceil((slots - under_way) / 2)
  return math.max(0, math.min(left, slots, math.max(slots - reserve, of_reserve)))
end

local function take_of(lane)
  local most = room_of(lane)
  if most == 0 then return end
  local count = take(lane, most)
  free[lane] = (free[lane] or host_slots) - count
  slots = slots - count
  touched[#touched + 1] = lane
end

-- hosts_from(first): some of the lanes of hosts, those first in which something is due soonest, and when.
local function hosts_from(first)
  return redis.call("ZRANGE", due.hosts, first, first + LANES_AT_ONCE - 1, "WITHSCORES")
end

local next_in
local function consider(head)
  if head and (not next_in or head - now < next_in) then next_in = math.max(0, head - now) end
end

local held_back = 0
if any_hosts then
  local first = 0
  while slots > 0 and bytes <= REPLY_BYTES and work < WORK_AT_ONCE do
    local page = hosts_from(first)
    for i = 1, #page, 2 do
      if tonumber(page[i + 1]) <= now then take_of(page[i]) end
    end
    first = first + LANES_AT_ONCE
    if #page < 2 * LANES_AT_ONCE or tonumber(page[#page]) > now then break end
  end
elseif host_slots == 0 then
  for i = FIRST_LANE, #ARGV, 2 do
    if bytes <= REPLY_BYTES then take_of(ARGV[i]) end
  end
end
for _, lane in ipairs(touched) do index_lane(due, lane) end

-- The next of the main set, of the streams and of the named queues; of the hosts' the first that is not full, as what is due for a full
-- one waits for a slot and not for a time.
if limit > 0 then consider(head_due(due.scheduled)) end
if stream_limit > 0 then consider(head_due(due_set(due, "stream"))) end
if any_hosts then
  local first, found = 0, false
  while not found do
    local page = hosts_from(first)
    for i = 1, #page, 2 do
      local lane, head = page[i], tonumber(page[i + 1])
      if head > now or room_of(lane) > 0 then
        consider(head)
        found = true
        break
      end
      held_back = 1
      -- Without a slot for any, none that is due needs to be looked at: only the first that is not.
      if slots <= 0 then
        consider(tonumber(redis.call("ZRANGE", due.hosts, "(" .. digits(now), "+inf", "BYSCORE", "LIMIT", 0, 1, "WITHSCORES")[2]))
        found = true
        break
      end
    end
    if #page < 2 * LANES_AT_ONCE then break end
    first = first + LANES_AT_ONCE
  end
elseif host_slots == 0 then
  for i = FIRST_LANE, #ARGV, 2 do consider(head_due(due_set(due, ARGV[i]))) end
end

-- too_late(options): "drop" or "dead-letter" when the message's not-after has passed and it asks for that.
local function too_late(options)
  if options and options.n and options.l and now > tonumber(options.n) and options.l ~= "deliver" then
    return options.l
  end
end

-- finish(status, id, record, options, counts, late_ms): notes a message that is delivered, or dropped, for forget_finished.
local any_failures, any_attempts = redis.call("EXISTS", failures) == 1, redis.call("EXISTS", attempts) == 1
local now_digits, finished = digits(now), {}
local function finish(status, id, record, options, counts, late_ms)
  remember_id(seen_prefix, dedup_window_ms, id, status, options)
  local notes = any_failures and redis.call("HGET", failures, id)
  add_history_entry(history, status, id, record, now_digits, late_ms, counts, notes)
  unindex_tags(tag_prefix, id, options)
  finished[#finished + 1] = id
end

local function forget_finished()
  in_slices(finished, 1, function(first, last)
    redis.call("HDEL", messages, unpack(finished, first, last))
    if any_attempts then redis.call("HDEL", attempts, unpack(finished, first, last)) end
    if any_failures then redis.call("HDEL", failures, unpack(finished, first, last)) end
  end)
  write_history(history)
end

local function late_ms_of(record)
  return digits(math.max(0, now - tonumber(due_of(record))))
end

local all_counts = any_attempts and values_of(attempts, taken) or {}
local reply, locked, moved, returned = {}, {}, 0, 0
local HEAD = 10 -- what stands before them in the reply, and is known at the end

-- lock(id, due, record, counts): claims a message for the caller.
local function lock(id, due, record, counts)
  local key, ends = lock_prefix .. id, lock_end
  if redis.call("SET", key, token, "NX", "PXAT", lock_until) then
    local at = HEAD + moved + 4 * returned
    reply[at + 1], reply[at + 2], reply[at + 3], reply[at + 4] = id, due, record, counts
    returned = returned + 1
  else
    local left_ms = redis.call("PTTL", key)
    if left_ms >= 0 then ends = digits(now + left_ms) end
  end
  local at = #locked
  locked[at + 1], locked[at + 2] = ends, id
end

-- expire(id, record, options, counts): drops a message that is too late, or makes it a dead letter. Returns whether it was.
local function expire(id, record, options, counts)
  local word = too_late(options)
  if word == "drop" then
    dropped = dropped + 1
    finish("dropped", id, record, options, counts, late_ms_of(record))
  elseif word then
    died = died + 1
    move_to_dead_letters(dead_letters, id, options, "expired", "", now)
  end
  return word
end

local read, options_before, stream, max_len, corrupt, refused = options_reader(), nil, nil, nil, {}, {}
for i = 1, stream_count do
  local id, record, counts = taken[i], records[i], all_counts[i] or ""
  local options = record and read(record)
  if options ~= options_before then
    options_before = options
    stream, max_len = stream_of(options)
  end
  local payload = options and stream and payload_of(record)
  if not (payload and may_be_json(payload)) then
    if record then corrupt[#corrupt + 1] = i end
  elseif not expire(id, record, options, counts) then
    local late_ms = late_ms_of(record)
    local refusal = move_to_stream(streams, stream, max_len, id, record, payload, options, late_ms)
    if not refusal then
      moved = moved + 1
      reply[HEAD + moved] = math.max(0, now - tonumber(due_at[i]))
      finish("delivered", id, record, options, counts, late_ms)
    elseif refusal == "not a stream" then
      died = died + 1
      move_to_dead_letters(dead_letters, id, options, refusal, "", now)
    else
      -- A right may be given, and memory become free: the caller has it tried again as its policy says.
      refused[#refused + 1] = { i, (counts == "" and "0 0" or counts) .. " " .. refusal }
    end
  end
end
-- A record that cannot be read is for the caller to report.
for _, i in ipairs(corrupt) do lock(taken[i], due_at[i], records[i], all_counts[i] or "") end
for _, each in ipairs(refused) do lock(taken[each[1]], due_at[each[1]], records[each[1]], each[2]) end

-- Of the others only those with a not-after have options that matter here.
local OF_INTEREST = { "n" }
for i = stream_count + 1, #taken do
  local id, record, counts = taken[i], records[i], all_counts[i] or ""
  local options = record and options_with(record, OF_INTEREST)
  if record and not (options and expire(id, record, options, counts)) then lock(id, due_at[i], record, counts) end
end

-- next_claims(count): the first of so many new claim numbers. A counter that somebody else has damaged goes on from the
-- time in ms, which is more than all claims before.
local function next_claims(count)
  local last = tonumber(redis.call("GET", claims) or 0) or now
  redis.call("SET", claims, digits(last + count))
  return last + 1
end

in_slices(locked, 2, function(first, last)
  redis.call("ZADD", claimed, unpack(locked, first, last))
end)

forget_finished()
-- While messages are delivered to a console or over HTTP, acknowledge does it.
if (#finished > 0 or returned == 0) and redis.call("EXISTS", history.entries) == 1 then trim_history(history, now) end
-- Not for a worker that pulls: what its queue holds no server could take.
if next_in == 0 and moved + returned > 0 and (limit > 0 or host_slots > 0) then
  redis.pcall("PUBLISH", wake_channel, "help " .. shard)
end
local first_claim = returned > 0 and next_claims(returned) or 0
local next_expiry = head_due(claimed)
if next_expiry then mark_clock(clock, now, marked, 0) end
local expiry_in = next_expiry and math.max(0, next_expiry - now) or ""
reply[1], reply[2], reply[3], reply[4], reply[5] = exact_now, next_in or "", expiry_in, held_back, recovered
reply[6], reply[7], reply[8], reply[9], reply[10] = dropped, died, trimmed, first_claim, moved
return reply
