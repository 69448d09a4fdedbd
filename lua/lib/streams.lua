-- Streams are read by consumers of the users' own. Needs lib/record.lua.
-- streams = { names, prefix }: the set of names there are, and what their keys begin with

-- stream_of(options): the name of the stream that a message is for and its length at most (nil for any), or nil.
local function stream_of(options)
  local name, rest = string.match(options and options.d or "", '^{"type":"stream","name":"([^"]+)"(.*)$')
  if name then return name, string.match(rest, '^,"maxLen":(%d+)') end
end

-- know_stream(streams, name): lists a stream, so that its consumers find it before its first message does.
local function know_stream(streams, name)
  redis.call("SADD", streams.names, name)
end

-- iso_time(ms): ISO 8601 in UTC with milliseconds. The date is counted in years that begin in March, whose leap day
-- is their last.
local function iso_time(ms)
  local days, of_day = math.floor(ms / 86400000), ms % 86400000
  local since = days + 719468
  local era = math.floor(since / 146097)
  local of_era = since - era * 146097
  local year = math.floor((of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524) - math.floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local march_month = math.floor((5 * of_year + 2) / 153)
  local day = of_year - math.floor((153 * march_month + 2) / 5) + 1
  local month = march_month < 10 and march_month + 3 or march_month - 9
  if month <= 2 then year = year + 1 end
  local seconds = math.floor(of_day / 1000)
  return string.format("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", year + era * 400, month, day,
    math.floor(seconds / 3600), math.floor(seconds / 60) % 60, seconds % 60, of_day % 1000)
end

-- move_to_stream(streams, name, max_len, id, record, options, late_ms): false when something else lies at its key.
local function move_to_stream(streams, name, max_len, id, record, options, late_ms)
  local entry = { "id", id, "payload", payload_of(record), "at", iso_time(tonumber(due_of(record))),
    "lateMs", digits(late_ms), "tags", options.t and cjson.encode(options.t) or "[]" }
  local added
  if max_len then
    added = redis.pcall("XADD", streams.prefix .. name, "MAXLEN", "=", max_len, "*", unpack(entry))
  else
    added = redis.pcall("XADD", streams.prefix .. name, "*", unpack(entry))
  end
  if type(added) == "table" and added.err then return false end
  know_stream(streams, name)
  return true
end
