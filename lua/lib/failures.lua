-- The failures of a message that had some: "<reason>", then, one per line, newest last, its last failed attempts as
-- JSON, and of other events the last ones: {"recovered": ms}, and {"redriven": ms, "dead": ms, "reason", "by"}.

-- note_failure(failures, id, reason, report): adds one attempt or event; report is its JSON, "" for none.
local function note_failure(failures, id, reason, report)
  local MOST_OF_A_KIND = 5
  local reports = {}
  for line in string.gmatch(redis.call("HGET", failures, id) or "", "\n([^\n]+)") do reports[#reports + 1] = line end
  if report ~= "" then reports[#reports + 1] = report end
  local attempts, events, kept = 0, 0, ""
  for i = #reports, 1, -1 do
    local is_event = string.find(reports[i], '^{"re')
    if is_event then events = events + 1 else attempts = attempts + 1 end
    if (is_event and events or attempts) <= MOST_OF_A_KIND then kept = "\n" .. reports[i] .. kept end
  end
  redis.call("HSET", failures, id, reason .. kept)
end

-- note_redriven(failures, id, now, died_at, by): a dead letter is scheduled again; its failures stay. by is the name of
-- a key, "" for none.
local function note_redriven(failures, id, now, died_at, by)
  local reason = string.match(redis.call("HGET", failures, id) or "", "^[^\n]*")
  local event = string.format('{"redriven":%.0f,"dead":%.0f,"reason":%s', now, died_at, cjson.encode(reason))
  note_failure(failures, id, reason, event .. (by ~= "" and ',"by":"' .. by .. '"' or "") .. "}")
end

-- last_attempt_at(text): when its last failed attempt began (epoch ms), 0 where none is told.
local function last_attempt_at(text)
  local last = 0
  for at in string.gmatch(text, '\n{"at":(%d+)') do last = tonumber(at) end
  return last
end
