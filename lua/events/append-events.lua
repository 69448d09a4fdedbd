#!lua
-- append-events: add one entry of events to the ring, and trim the ring by the events that its entries hold.
--
-- KEYS[1]  events  stream  entries: e events, one a line; n how many; s token; t how many of each type there have been
--                  up to its end; p the entry before it; l how many of each type its server could not write
-- ARGV[1]  wake_channel  string   where servers with listeners hear of it
-- ARGV[2]  token         string   unique to this entry
-- ARGV[3]  repeated      0 or 1   whether an earlier call for this entry may have run
-- ARGV[4]  most          integer  events that the ring keeps; more by less than one entry
-- ARGV[5]  lost          string   "<type> <count> ..." of events that could not be written before; "" for none
-- ARGV[6]  lines         string   the events, one a line
-- ARGV[7]  count         integer  how many they are
-- ARGV[8..]              two per type:
--            type   string
--            times  integer  how many of the events are of this type
--
-- Returns  {id}: of the entry, "" if it was there already
-- Writes   the entry, unless an earlier call did; deletes the oldest entries that are not needed for `most` events;
--          publishes "events written"
-- Cost     O(e + d), e = events, d = entries deleted
local events = KEYS[1]
local wake_channel, token, repeated, most = ARGV[1], ARGV[2], ARGV[3] == "1", tonumber(ARGV[4])
local lost, lines, count = ARGV[5], ARGV[6], tonumber(ARGV[7])

-- fields_of(entry): an entry's fields by name.
local function fields_of(entry)
  local fields = {}
  for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
  return fields
end

local LOOK_BACK = 100
if repeated then
  for _, entry in ipairs(redis.call("XREVRANGE", events, "+", "-", "COUNT", LOOK_BACK)) do
    if fields_of(entry).s == token then return { "" } end
  end
end

local newest = redis.call("XREVRANGE", events, "+", "-", "COUNT", 1)[1]
local totals, order = {}, {}
-- add(type, times): counts them, in the order in which types first came.
local function add(type, times)
  if not totals[type] then order[#order + 1] = type end
  totals[type] = (totals[type] or 0) + times
end
for type, times in string.gmatch(newest and fields_of(newest).t or "", "(%w+) (%d+)") do add(type, tonumber(times)) end
for i = 8, #ARGV, 2 do add(ARGV[i], tonumber(ARGV[i + 1])) end
local texts, all = {}, 0
for i, type in ipairs(order) do
  texts[i] = type .. string.format(" %.0f", totals[type])
  all = all + totals[type]
end
local id = redis.call("XADD", events, "*", "e", lines, "n", count, "s", token, "t", table.concat(texts, " "),
  "p", newest and newest[1] or "", "l", lost)

-- The first entries go whose events all come before the last `most`.
local TRIM_AT_ONCE = 50
local keep_from
for _ = 1, TRIM_AT_ONCE do
  local oldest = redis.call("XRANGE", events, keep_from or "-", "+", "COUNT", 1)[1]
  local up_to = 0
  for times in string.gmatch(oldest and fields_of(oldest).t or "", " (%d+)") do up_to = up_to + tonumber(times) end
  if not oldest or all - up_to < most then break end
  local ms, number = string.match(oldest[1], "^(%d+)-(%d+)$")
  keep_from = ms .. "-" .. string.format("%.0f", tonumber(number) + 1)
end
if keep_from then redis.call("XTRIM", events, "MINID", "=", keep_from) end
redis.pcall("PUBLISH", wake_channel, "events written")
return { id }
