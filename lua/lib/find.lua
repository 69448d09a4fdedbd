--@include lib/scheduled.lua
-- Scripts that find a message begin with the same keys, in this order.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms); the main due set, of which lanes are suffixes
-- KEYS[2]  claimed    zset  message id -> lock end (epoch ms)
-- KEYS[3]  dead       zset  message id -> became a dead letter at (epoch ms)
-- KEYS[4]  messages   hash  message id -> record
-- KEYS[5]  attempts   hash  message id -> "<failures> <recoveries>"
-- KEYS[6]  history    hash  message id -> history entry
-- KEYS[7]  failures   hash  message id -> reason and last attempts
-- KEYS[8]  laned      zset  message id in a lane -> due time (epoch ms)
-- KEYS[9]  cancellations  hash  message id -> history entry of a cancelled message

local keys = {
  scheduled = KEYS[1], claimed = KEYS[2], dead = KEYS[3], messages = KEYS[4], attempts = KEYS[5], failures = KEYS[7],
  laned = KEYS[8], cancellations = KEYS[9], history = { entries = KEYS[6] },
}

-- find_message(id, now): {state, score, record, attempts, failures} of one message. state is "scheduled",
-- "claimed" or "dead" (score: next due time, lock end, time of death), "delivered", "dropped" or "cancelled" (score:
-- finished at; record is the history entry), "stranded" (score 0: it has a record but no state, because another
-- program changed keys), or "unknown".
-- keys.history needs its ttl_ms.
local function find_message(id, now)
  local function found(state, score, record)
    local attempts, failures = redis.call("HGET", keys.attempts, id), redis.call("HGET", keys.failures, id)
    return { state, score, record, attempts or "", failures or "" }
  end
  local record = redis.call("HGET", keys.messages, id)
  if record then
    for _, state in ipairs({ "scheduled", "claimed", "dead" }) do
      local score = state == "scheduled" and scheduled_score(keys, id) or redis.call("ZSCORE", keys[state], id)
      if score then return found(state, score, record) end
    end
  end
  local entry = redis.call("HGET", keys.history.entries, id)
  if entry then
    local state, finished_at = string.match(entry, "^(%a+) (%d+)")
    -- Another program has changed the entry, but the message is finished.
    if state ~= "delivered" and state ~= "dropped" then return { "delivered", "0", entry, "", "" } end
    if tonumber(finished_at) > now - keys.history.ttl_ms then return { state, finished_at, entry, "", "" } end
  end
  if record then return found("stranded", "0", record) end
  local cancelled = redis.call("HGET", keys.cancellations, id)
  local cancelled_at = cancelled and string.match(cancelled, "^cancelled (%d+)")
  if cancelled_at and tonumber(cancelled_at) > now - keys.history.ttl_ms then
    return { "cancelled", cancelled_at, cancelled, "", "" }
  end
  return { "unknown", "", "", "", "" }
end
