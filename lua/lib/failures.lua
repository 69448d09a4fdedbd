-- The failures of a message that had some: "<reason>", then its last attempts as JSON, one per line, newest last.

-- note_failure(failures, id, reason, report): adds one attempt; report is its JSON, "" for none.
local function note_failure(failures, id, reason, report)
  local MOST_REPORTS = 5
  local reports = {}
  for line in string.gmatch(redis.call("HGET", failures, id) or "", "\n([^\n]+)") do reports[#reports + 1] = line end
  if report ~= "" then reports[#reports + 1] = report end
  local first = math.max(1, #reports - MOST_REPORTS + 1)
  local text = reason
  for i = first, #reports do text = text .. "\n" .. reports[i] end
  redis.call("HSET", failures, id, text)
end

-- last_attempt_at(text): when its last failed attempt began (epoch ms), 0 where none is told.
local function last_attempt_at(text)
  return tonumber(string.match(text, '\n{"at":(%d+)[^\n]*$') or 0)
end
