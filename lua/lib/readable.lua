--@include lib/record.lua
-- Whether a record is intact, or another program has changed it. Of a payload, and of texts in the options, only both
-- ends are checked, at a constant cost: that finds overwritten and truncated texts.

-- may_be_json(text): whether it begins and ends as a JSON value does.
local function may_be_json(text)
  local tail = string.sub(text, -2)
  if string.find(text, "^%s") or string.find(tail, "%s$") then return true end
  if string.find(text, "^{") then
    return string.find(text, '^{["}%s]') and string.find(tail, '["%d%]}{el%s]}$') and true
  end
  if string.find(text, "^%[") then
    return string.find(text, '^%[[%["{%-%dtfn%]%s]') and string.find(tail, '["%d%]}%[el%s]%]$') and true
  end
  if string.find(text, '^"') then return #text > 1 and string.find(tail, '"$') and true end
  if string.find(text, "^%-?%d") then return string.find(tail, "%d$") and true end
  return text == "true" or text == "false" or text == "null"
end

local function is_text(value) return value == nil or type(value) == "string" end
local function is_text_like(value, pattern)
  return value == nil or type(value) == "string" and string.find(value, pattern)
end

-- valid_options(record): the options of a record, {} if it has none; nil if anything but the payload is unreadable.
local function valid_options(record)
  local LAST_DATE_MS = 8640000000000000
  local due, after = string.match(record, "^(%d+)([\n{])")
  if not due or tonumber(due) > LAST_DATE_MS then return nil end
  if after == "\n" then return {} end
  local readable, options = pcall(cjson.decode, options_text(record) or "")
  if not readable or type(options) ~= "table" then return nil end
  local is_valid = is_text(options.u) and is_text(options.f) and is_text(options.l)
    and is_text_like(options.n, "^%d+$") and is_text_like(options.c, "^%d+$") and is_text_like(options.r, "^{.*}$")
    and (is_text_like(options.d, "^{.*}$") or is_text_like(options.d, "^%l[%w_]*[: ]"))
    and (options.v == nil or type(options.v) == "number" and options.v % 1 == 0)
    and (options.t == nil or type(options.t) == "table")
  if not is_valid then return nil end
  for _, tag in ipairs(options.t or {}) do
    if type(tag) ~= "string" then return nil end
  end
  return options
end

-- is_readable(record): whether all of it seems intact.
local function is_readable(record)
  return valid_options(record) ~= nil and may_be_json(payload_of(record))
end
