#!lua flags=no-writes
-- list: a page of one index of messages, in order of score and id, with all there is to each.
--
-- KEYS[1..6] and ARGV[1..12]: see lib/matches.lua
-- KEYS[7]  attempts   hash  message id -> "<failures> <recoveries>"
-- ARGV[13] bytes        integer  the page ends early once it is larger; it holds one message at least
--
-- Returns  {seen_score, seen_id, looked_at, id, score, record, attempts, failures, ...}: where the page ended, "" and
--          "" when nothing is left behind it; how many messages it has looked at; and five per message that matches. A
--          finished one has its history entry as record
-- Writes   nothing
-- Cost     O(limit + log n (log n)), n = members of the index
--@include lib/matches.lua

local failures, attempts, bytes_left = KEYS[5], KEYS[7], tonumber(ARGV[13])

local any_attempts, any_failures = redis.call("EXISTS", attempts) == 1, redis.call("EXISTS", failures) == 1
local reply = { "", "", 0 }
-- One record at a time, as each may be large: nothing is read that is not answered, but for the last.
reply[1], reply[2], reply[3] = each_match(true, function(id, score, record)
  if #reply > 3 and #record > bytes_left then return true end
  bytes_left = bytes_left - #record
  local count = any_attempts and redis.call("HGET", attempts, id) or ""
  local notes = any_failures and redis.call("HGET", failures, id) or ""
  for _, value in ipairs({ id, score, record, count or "", notes or "" }) do reply[#reply + 1] = value end
end)
return reply
