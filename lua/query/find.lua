#!lua flags=no-writes
-- find: look up messages by id, in any state.
--
-- KEYS[1..9]: see lib/find.lua
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  seen_prefix      string   key of a finished client-made id = seen_prefix .. id
-- ARGV[3]  history_ttl_ms   integer  how long history entries are kept
-- ARGV[4..] id              string
--
-- Returns  {state, score, record, attempts, failures, ...}, five per id:
--            "scheduled", when next due, record, attempts, failures
--            "claimed", lock end, record, attempts, failures
--            "dead", when it became one, record, attempts, failures
--            "stranded", 0, record, attempts, failures: another program has changed something, and it is in no state
--            "delivered", "dropped" or "cancelled", finished at, history entry, "", ""
--            "delivered" or "dropped", "", fingerprint, "", "": only its id is still known
--            "unknown", "", "", "", ""
-- Writes   nothing
-- Cost     O(1) per id
--@include lib/clock.lua
--@include lib/find.lua

keys.history.ttl_ms = tonumber(ARGV[3])
local now = redis_now(ARGV[1])
local seen_prefix = ARGV[2]
local reply = {}
for i = 4, #ARGV do
  local found = find_message(ARGV[i], now)
  if found[1] == "unknown" then
    local seen = redis.call("GET", seen_prefix .. ARGV[i])
    if seen and not has_ended(seen_prefix .. ARGV[i]) then found[1], found[3] = string.match(seen, "^(%a+) (.*)$") end
  end
  for _, value in ipairs(found) do reply[#reply + 1] = value end
end
return reply
