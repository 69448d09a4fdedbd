-- What a claim does in addition to claiming, told message by message.

-- note_effect(list, id, record, reason): adds a message, as three values: its id, its record without the payload, and
-- why.
local function note_effect(list, id, record, reason)
  local at, line_break = #list, string.find(record, "\n", 1, true) or #record + 1
  list[at + 1], list[at + 2], list[at + 3] = id, string.sub(record, 1, line_break - 1), reason
end
