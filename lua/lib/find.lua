--@include lib/scheduled.lua
-- find_message(keys, id, now): {state, score, record, attempts, failures} of one message, state being "scheduled",
-- "claimed" or "dead" (score: when next due, lock end, time of death), "delivered" or "dropped" (score: finished at;
-- record is the history's entry), "stranded" (score 0: there is a record, and nothing that says what is to become of it:
-- another program has changed something), or "unknown". keys = { scheduled, laned, claimed, dead, messages, attempts, failures,
-- history }, history with its ttl_ms.
local function find_message(keys, id, now)
  local record = redis.call("HGET", keys.messages, id)
  if record then
    for _, state in ipairs({ "scheduled", "claimed", "dead" }) do
      local score = state == "scheduled" and scheduled_score(keys, id) or redis.call("ZSCORE", keys[state], id)
      if score then
        return { state, score, record, redis.call("HGET", keys.attempts, id) or "", redis.call("HGET", keys.failures, id) or "" }
      end
    end
  end
  local entry = redis.call("HGET", keys.history.entries, id)
  if entry then
    local state, finished_at = string.match(entry, "^(%a+) (%d+)")
    -- Another program has changed it, but it is finished.
    if state ~= "delivered" and state ~= "dropped" then return { "delivered", "0", entry, "", "" } end
    if tonumber(finished_at) > now - keys.history.ttl_ms then return { state, finished_at, entry, "", "" } end
  end
  if record then
    return { "stranded", "0", record, redis.call("HGET", keys.attempts, id) or "", redis.call("HGET", keys.failures, id) or "" }
  end
  return { "unknown", "", "", "", "" }
end
