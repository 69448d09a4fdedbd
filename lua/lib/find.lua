--@include lib/scheduled.lua
-- find_message(keys, id, now): {state, score, record, attempts, failures} of one message. state is "scheduled",
-- "claimed" or "dead" (score: next due time, lock end, time of death), "delivered" or "dropped" (score: finished at;
-- record is the history entry), "stranded" (score 0: it has a record but no state, because another program changed
-- keys), or "unknown".
-- keys = { scheduled, laned, claimed, dead, messages, attempts, failures, history }, history with its ttl_ms.
local function find_message(keys, id, now)
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
  return { "unknown", "", "", "", "" }
end
