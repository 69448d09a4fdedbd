#!lua flags=no-writes
-- why: what is known of one message that tells why it is where it is.
--
-- KEYS[1..9]: see lib/find.lua
-- KEYS[10] delivered  zset  message id -> finished at (epoch ms)
-- KEYS[11] dropped    zset  message id -> finished at (epoch ms)
-- KEYS[12] cancelled  zset  message id -> cancelled at (epoch ms)
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  seen_prefix      string   key of a finished client-made id = seen_prefix .. id
-- ARGV[3]  history_ttl_ms   integer  how long history entries are kept
-- ARGV[4]  lock_prefix      string   lock key = lock_prefix .. id, in the shard's slot
-- ARGV[5]  id               string
--
-- Returns  {now, lane, token, ahead, oldest, state, score, record, attempts, failures}
--            now     Redis's clock, epoch ms
--            lane    where it waits or waited, "" for the main set and for what is not known
--            token   of the claim that holds its lock, "" for none
--            ahead   of a message that is due: how many of its lane in this shard were due before it; else 0
--            oldest  of an unknown message: when the first of what the history holds here was finished, "" for nothing
--            state, score, record, attempts, failures: as find answers
-- Writes   nothing
-- Cost     O(log S), S = scheduled messages
--@include lib/clock.lua
--@include lib/find.lua
--@include lib/lanes.lua
--@include lib/record.lua

keys.history.ttl_ms = tonumber(ARGV[3])
local finished = { KEYS[10], KEYS[11], KEYS[12] }
local now = redis_now(ARGV[1])
local seen_prefix, lock_prefix, id = ARGV[2], ARGV[4], ARGV[5]

local found = find_message(id, now)
local state, score, record = found[1], found[2], found[3]
local lane, token, ahead, oldest = "", "", 0, ""
if state == "unknown" then
  local seen = redis.call("GET", seen_prefix .. id)
  if seen then
    found[1], found[3] = string.match(seen, "^(%a+) (.*)$")
  else
    for _, set in ipairs(finished) do
      local first = head_due(set)
      if first and (oldest == "" or first < oldest) then oldest = first end
    end
  end
elseif state == "scheduled" or state == "claimed" then
  lane = lane_of(options_of(record))
  token = redis.call("GET", lock_prefix .. id) or ""
  if state == "scheduled" and tonumber(score) <= now then
    ahead = redis.call("ZCOUNT", due_set(keys, lane), "-inf", "(" .. score)
  end
end
local reply = { now, lane, token, ahead, oldest }
for _, value in ipairs(found) do reply[#reply + 1] = value end
return reply
