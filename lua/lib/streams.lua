--@include lib/lanes.lua
--@include lib/record.lua
-- Streams, which the users' own consumers read.
-- streams = { names, prefix }: the set of their names, and the prefix of their keys

-- stream_of(options): the name of a message's stream and its longest length (nil for any), or nil. The destination is
-- stored as "stream <name>", or "stream <name> <length>".
local function stream_of(options)
  local text = options and options.d or ""
  local name, max_len = string.match(text, "^stream (%S+) ?(%d*)$")
  if name then return name, max_len ~= "" and max_len or nil end
  if string.byte(text) ~= 123 then return nil end
  local target = json_destination(text)
  if target.type ~= "stream" or type(target.name) ~= "string" then return nil end
  return target.name, type(target.maxLen) == "number" and string.format("%.0f", target.maxLen) or nil
end

-- register_stream(streams, name): lists a stream, so that its consumers find it before its first message. Once per
-- call.
local function register_stream(streams, name)
  streams.known = streams.known or {}
  if streams.known[name] then return end
  redis.call("SADD", streams.names, name)
  streams.known[name] = true
end

local last_day, date_of_day

-- iso_date(day): the date of a day since 1970. It counts in years that begin in March: a leap day is then the last day.
local function iso_date(day)
  if day == last_day then return date_of_day end
  local since = day + 719468
  local era = math.floor(since / 146097)
  local of_era = since - era * 146097
  local leap_days = math.floor(of_era / 1460) - math.floor(of_era / 36524) + math.floor(of_era / 146096)
  local year = math.floor((of_era - leap_days) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local march_month = math.floor((5 * of_year + 2) / 153)
  local day_of_month = of_year - math.floor((153 * march_month + 2) / 5) + 1
  local month = march_month < 10 and march_month + 3 or march_month - 9
  if month <= 2 then year = year + 1 end
  last_day, date_of_day = day, string.format("%04d-%02d-%02d", year + era * 400, month, day_of_month)
  return date_of_day
end

-- iso_time(ms): ISO 8601 in UTC with milliseconds.
local function iso_time(ms)
  local of_day = ms % 86400000
  local seconds = math.floor(of_day / 1000)
  return string.format("%sT%02d:%02d:%02d.%03dZ", iso_date(math.floor(ms / 86400000)), math.floor(seconds / 3600),
    math.floor(seconds / 60) % 60, seconds % 60, of_day % 1000)
end

-- refusal_of(err): why Redis did not add to a stream, as a short code.
local function refusal_of(err)
  if string.find(err, "WRONGTYPE", 1, true) then return "not a stream" end
  -- Before Redis 7.2, scripts get another text for a missing permission.
  if string.find(err, "NOPERM", 1, true) or string.find(err, "ACL failure", 1, true)
    or string.find(err, "The user executing the script", 1, true) then return "no permission" end
  if string.find(err, "OOM", 1, true) then return "out of memory" end
  return "refused by Redis"
end

-- move_to_stream(streams, name, max_len, id, record, payload, options, late_ms): nil if the message is now in the
-- stream, else why Redis refused it, as a short code. late_ms in digits.
local function move_to_stream(streams, name, max_len, id, record, payload, options, late_ms)
  local key, at = streams.prefix .. name, iso_time(tonumber(due_of(record)))
  local tags = options.t and cjson.encode(options.t) or "[]"
  local added
  if max_len then
    added = redis.pcall("XADD", key, "MAXLEN", "=", max_len, "*", "id", id, "payload", payload, "at", at,
      "lateMs", late_ms, "tags", tags)
  else
    added = redis.pcall("XADD", key, "*", "id", id, "payload", payload, "at", at, "lateMs", late_ms, "tags", tags)
  end
  if type(added) == "table" and added.err then return refusal_of(added.err) end
  register_stream(streams, name)
end
