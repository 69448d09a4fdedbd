-- A record is "<due time><options><line break><payload>": the due time in digits, the options as a flat JSON object or
-- nothing, the payload as JSON text. Times in options are strings, as a float would lose their last digits.
--   d destination: "<lane> <rest>", see lib/lanes.lua, or JSON in the older form; then u is the spelling of the host of
--     its webhook, if d has another
--   r retry, l on late (JSON text each)   t tags (list)   n not after, c created at (ms)
--   v version, absent for 1   h the last changes (list of "<version> <at>" or "<version> <at> <name of the key>")
--   f fingerprint of the first accepted content (client-made ids only)
--   a the attempt that delivered it, in the history only (lib/history.lua)

-- is_plain(record): whether it certainly has no options: a line break follows its due time of 13 digits, as from 2001
-- to 2286.
local function is_plain(record)
  local last_digit, line_break = string.byte(record, 13, 14)
  return line_break == 10 and last_digit <= 57
end

-- options_text(record): the options as text, nil if there are none.
local function options_text(record)
  if is_plain(record) then return nil end
  local after = string.find(record, "%D")
  local line_break = after and string.byte(record, after) == 123 and string.find(record, "\n", after, true)
  return line_break and string.sub(record, after, line_break - 1) or nil
end

local function read_options(text)
  local readable, options = pcall(cjson.decode, text)
  if not readable or type(options) ~= "table" then return nil end
  if type(options.t) ~= "table" or #options.t == 0 then options.t = nil end
  for _, tag in ipairs(options.t or {}) do
    if type(tag) ~= "string" then options.t = nil end
  end
  if type(options.f) ~= "string" then options.f = nil end
  if type(options.v) ~= "number" or options.v % 1 ~= 0 then options.v = nil end
  if not tonumber(options.n) then options.n = nil end
  if type(options.d) ~= "string" then options.d = nil end
  return options
end

-- options_of(record): the options, nil if there are none (the most common case, and cheap) or if they are unreadable: a
-- record that another program has damaged must not make a script fail for other messages.
local function options_of(record)
  local text = options_text(record)
  return text and read_options(text)
end

-- options_reader(): options_of for many records. If a record has the same options as the one before, it returns the
-- same table, which is read-only.
local function options_reader()
  local last_text, last_options
  return function(record)
    local text = options_text(record)
    if not text then return nil end
    if text ~= last_text then last_text, last_options = text, read_options(text) end
    return last_options
  end
end

-- options_with(record, letters): the options if any of these letters may be among them, else nil. Most records have
-- none of them, and this check is much cheaper than reading the options.
local function options_with(record, letters)
  if is_plain(record) then return nil end
  local line_break = string.find(record, "\n", 1, true)
  for i = 1, #letters do
    local at = string.find(record, '"' .. letters[i] .. '":', 1, true)
    if at and line_break and at < line_break then return options_of(record) end
  end
end

-- due_of(record): the due time in the record, a string of digits; "0" in a damaged record.
local function due_of(record)
  return string.match(record, "^%d+") or "0"
end

-- payload_of(record): JSON text.
local function payload_of(record)
  return string.sub(record, (string.find(record, "\n", 1, true) or #record) + 1)
end

-- join_record(due_at, options, payload): due_at in digits; options may be nil or empty.
local function join_record(due_at, options, payload)
  local text = options and next(options) and cjson.encode(options) or ""
  return due_at .. text .. "\n" .. payload
end

-- digits(ms): a time as a string without an exponent.
local function digits(ms)
  return string.format("%.0f", ms)
end

-- add_change(options, now, by): a changed record has one version more, and tells of its last changes. now in digits; by
-- is the name of a key, "" for none.
local function add_change(options, now, by)
  local MOST_CHANGES = 5
  options.v = (options.v or 1) + 1
  local changes = type(options.h) == "table" and options.h or {}
  changes[#changes + 1] = options.v .. " " .. now .. (by ~= "" and " " .. by or "")
  if #changes > MOST_CHANGES then table.remove(changes, 1) end
  options.h = changes
end
