--@include lib/clock-step.lua
--@include lib/dead-letters.lua
--@include lib/effects.lua
--@include lib/lock.lua
--@include lib/resume.lua
--@include lib/work.lua
-- What each claim does first: it corrects times if the clock was set back, and recovers expired claims.
-- state: see lib/claim-state.lua

-- follow_clock(state): if Redis's clock was set back, sets back times that were written before.
local function follow_clock(state)
  local now, due, history = state.now, state.due, state.history
  local marked, set_back_ms = check_clock(state.clock, now)
  state.marked = marked
  if set_back_ms == 0 then return end
  --@include lib/set-back.lua
  local places = {}
  set_back_end_times({ state.dead_letters.dead, history.delivered, history.dropped }, history.entries, now)
  set_back_retries(due, places, state.attempts, state.messages, state.tag_prefix, now, set_back_ms)
  enqueue_all(due, places, state.wake_channel, state.shard, now, true)
  redis.call("SET", state.clock.mark, digits(now))
end

-- put_back(state, ids): puts messages with expired claims back on the schedule, as many as the work allows. Returns how
-- many.
local function put_back(state, ids)
  --@include lib/attempts.lua
  local LOOK_AT_ONCE = 8
  local places, tags, work, done = {}, {}, 0, 0
  while done < #ids and work < WORK_AT_ONCE do
    local first, last = done + 1, math.min(done + LOOK_AT_ONCE, #ids)
    local records = redis.call("HMGET", state.messages, unpack(ids, first, last))
    for i = first, last do
      local id, record = ids[i], records[i - first + 1]
      local options = record and options_of(record)
      work = work + work_of(record or "", options)
      if record and select(2, counts_of(state.attempts, id)) >= state.max_recoveries then
        note_effect(state.died, id, record, "recoveries")
        move_to_dead_letters(state.dead_letters, id, options, "recoveries", "", state.now)
      elseif record then
        note_effect(state.recovered, id, record, "lock lost")
        collect(places, lane_of(options), id, due_of(record))
        collect_tags(tags, id, options, due_of(record))
        add_to_counts(state.attempts, id, 0, 1)
        note_failure(state.failures, id, "lock lost", '{"recovered":' .. digits(state.now) .. "}")
      end
    end
    done = last
  end
  index_all_tags(state.tag_prefix, tags)
  enqueue_all(state.due, places, state.wake_channel, state.shard, state.now)
  return done
end

-- recover(state): puts back messages whose claim has expired, because its server died or lost the lock, continues to
-- resume what was paused, and trims the dead letters.
local function recover(state)
  local AT_ONCE = 500
  follow_clock(state)
  local expired = redis.call("ZRANGE", state.claimed, "-inf", state.now, "BYSCORE", "LIMIT", 0, AT_ONCE)
  if #expired > 0 then
    local count = put_back(state, expired)
    redis.call("ZREMRANGEBYRANK", state.claimed, 0, count - 1)
    for i = #expired, count + 1, -1 do expired[i] = nil end
    -- If the clock was set, the lock may exist longer than its entry: its holder has lost the claim anyway.
    unlock(state.lock_prefix, expired)
  end
  if state.pauses and state.pauses.is_resuming then resume_some(state) end
  state.trimmed = trim_dead(state.dead_letters, state.now)
end
