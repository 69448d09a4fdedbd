#!lua flags=no-writes
-- read-events: read entries of the ring, oldest first; or its newest entry.
--
-- KEYS[1]  events  stream  see append-events.lua
-- ARGV[1]  from  string   the first entry's id at least, "(" in front of it for later ones; "" for the newest alone
-- ARGV[2]  most  integer  no further entry is read once so many events are
--
-- Returns  {more, id, previous, totals, lost, lines, ...}: 1 if there may be more behind these, else 0; and five per
--          entry, see append-events.lua for what they are. It returns fewer once their events pass 1 MiB
-- Writes   nothing
-- Cost     O(e), e = entries read
local events, from, most = KEYS[1], ARGV[1], tonumber(ARGV[2])
local MOST_BYTES = 1048576

local reply, count, bytes = { 0 }, 0, 0
local function tell(entry)
  local fields = {}
  for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
  local lines = fields.e or ""
  local at = #reply
  reply[at + 1], reply[at + 2], reply[at + 3] = entry[1], fields.p or "", fields.t or ""
  reply[at + 4], reply[at + 5] = fields.l or "", lines
  count, bytes = count + (tonumber(fields.n) or 0), bytes + #lines
end

if from == "" then
  for _, entry in ipairs(redis.call("XREVRANGE", events, "+", "-", "COUNT", 1)) do tell(entry) end
  return reply
end
while count < most and bytes < MOST_BYTES do
  local found = redis.call("XRANGE", events, from, "+", "COUNT", 1)[1]
  if not found then return reply end
  tell(found)
  from = "(" .. found[1]
end
reply[1] = 1
return reply
