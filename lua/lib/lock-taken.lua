--@include lib/clock-step.lua
--@include lib/dead-letters.lua
--@include lib/effects.lua
--@include lib/history.lua
--@include lib/pauses.lua
--@include lib/record.lua
--@include lib/seen.lua
--@include lib/wake.lua
-- Locks the messages taken off the schedule, and answers them. A due id without a record is deleted. A message that
-- another lock holds stays in claimed until that lock ends: it is not returned, and not lost. state: see
-- lib/claim-state.lua

-- counts_of_taken(state): for each taken message its two counts as text, false if it has none.
local function counts_of_taken(state)
  state.any_attempts = redis.call("EXISTS", state.attempts) == 1
  state.any_failures = redis.call("EXISTS", state.failures) == 1
  return state.any_attempts and values_of(state.attempts, state.ids) or {}
end

-- finish(state, status, id, record, options, counts, late_ms, attempt): notes a delivered or dropped message; attempt
-- as in lib/history.lua, "" for none.
local function finish(state, status, id, record, options, counts, late_ms, attempt)
  remember_id(state.seen_prefix, state.dedup_window_ms, id, status, options)
  local notes = state.any_failures and redis.call("HGET", state.failures, id)
  add_history_entry(state.history, status, id, record, digits(state.now), late_ms, counts, notes, attempt)
  unindex_tags(state.tag_prefix, id, options)
  state.finished[#state.finished + 1] = id
end

local function forget_finished(state)
  in_slices(state.finished, 1, function(first, last)
    redis.call("HDEL", state.messages, unpack(state.finished, first, last))
    if state.any_attempts then redis.call("HDEL", state.attempts, unpack(state.finished, first, last)) end
    if state.any_failures then redis.call("HDEL", state.failures, unpack(state.finished, first, last)) end
  end)
  write_history(state.history)
end

local function late_ms_of(state, record)
  return digits(math.max(0, state.now - tonumber(due_of(record))))
end

-- expire(state, id, record, options, counts): drops a message whose not-after has passed, or makes it a dead letter, as
-- its on-late says. Returns whether it did.
local function expire(state, id, record, options, counts)
  if not (options and options.n and options.l and state.now > tonumber(options.n)) or options.l == "deliver" then
    return false
  end
  if options.l == "drop" then
    note_effect(state.dropped, id, record, "expired")
    finish(state, "dropped", id, record, options, counts, late_ms_of(state, record), "")
  else
    note_effect(state.died, id, record, "expired")
    move_to_dead_letters(state.dead_letters, id, options, "expired", "", state.now)
  end
  return true
end

-- lock(state, i, counts, more): claims taken message i for the caller. more is answered after its other values, unless
-- it is nil.
local function lock(state, i, counts, more)
  local id, ends = state.ids[i], state.lock_end
  local key = state.lock_prefix .. id
  if redis.call("SET", key, state.token, "NX", "PX", state.lock_px) then
    local reply = state.reply
    local at = #reply
    reply[at + 1], reply[at + 2], reply[at + 3], reply[at + 4] = id, state.due_at[i], state.records[i], counts
    reply[at + 5] = more
    state.returned = state.returned + 1
  else
    local left_ms = ms_left(key)
    if left_ms >= 0 then ends = digits(state.now + left_ms) end
  end
  local locked = state.locked
  local at = #locked
  locked[at + 1], locked[at + 2] = ends, id
end

-- lock_taken(state, with_lanes): locks all taken messages, except those that have expired or have no record.
local function lock_taken(state, with_lanes)
  -- Only a not-after matters here.
  local OF_INTEREST = { "n" }
  local all_counts = counts_of_taken(state)
  for i = 1, #state.ids do
    local record, counts = state.records[i], all_counts[i] or ""
    local options = record and options_with(record, OF_INTEREST)
    if record and not expire(state, state.ids[i], record, options, counts) then
      lock(state, i, counts, with_lanes and state.lanes[i] or nil)
    end
  end
end

-- next_claims(state): the first of the new claim numbers, one for each returned message. A counter that another program
-- has damaged continues from the time in ms, which is more than all earlier numbers.
local function next_claims(state)
  local last = tonumber(redis.call("GET", state.claims) or 0) or state.now
  redis.call("SET", state.claims, digits(last + state.returned))
  return last + 1
end

-- wait_of(state, head): ms until head, "" if it is nil.
local function wait_of(state, head)
  return head and math.max(0, head - state.now) or ""
end

-- answer(state, head, calls_help): writes the noted changes, and returns the reply, which begins with
--   now          Redis's clock, epoch ms, with a fraction; the times below are from the whole ms
--   next_in      ms until the next message is due that the caller could have, or until a pause ends; 0 if one is due,
--                or while messages are being resumed; "" for none
--   expiry_in    ms until the next claim expires unless it is extended; "" if there is none
--   recovered    expired claims that were put back on the schedule: a list, see lib/effects.lua
--   dropped      messages that were dropped because their not-after has passed: a list
--   died         messages that became dead letters, their not-after passed or recovered too often: a list
--   trimmed      dead letters that were deleted because they are too many or too old
--   first_claim  the claim number of the first message returned; it grows by 1 with each
-- The values of each message are id, due (when this attempt was due, epoch ms: a retry's own time), record, attempts
-- ("<failures> <recoveries>", "" when there was neither), and what the script adds. head is when the next message is
-- due. If one is due already, and calls_help is true, other servers are asked for help.
local function answer(state, head, calls_help)
  in_slices(state.locked, 2, function(first, last)
    redis.call("ZADD", state.claimed, unpack(state.locked, first, last))
  end)
  forget_finished(state)
  -- For messages that the caller delivers, acknowledge does this.
  if (#state.finished > 0 or state.returned == 0) and redis.call("EXISTS", state.history.entries) == 1 then
    trim_history(state.history, state.now)
  end
  if calls_help and head and head <= state.now and #state.ids > 0 then
    redis.pcall("PUBLISH", state.wake_channel, "help " .. state.shard)
  end
  local next_expiry = head_due(state.claimed)
  if next_expiry then mark_clock(state.clock, state.now, state.marked, 0) end
  local reply = state.reply
  local look_at = look_again_at(state.pauses, head, state.now)
  reply[1], reply[2], reply[3] = state.exact_now, wait_of(state, look_at), wait_of(state, next_expiry)
  reply[4], reply[5], reply[6], reply[7] = state.recovered, state.dropped, state.died, state.trimmed
  reply[8] = state.returned > 0 and next_claims(state) or 0
  return reply
end
