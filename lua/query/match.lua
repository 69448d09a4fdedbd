#!lua flags=no-writes
-- match: which messages of an index match, in order of score and id.
--
-- KEYS[1..6] and ARGV[1..12]: see lib/matches.lua
--
-- Returns  {seen_score, seen_id, looked_at, id, score, ...}: where it ended, "" and "" when nothing is left behind it;
--          how many messages it has looked at; and two per message that matches
-- Writes   nothing
-- Cost     O(limit + log n (log n)), n = members of the index
--@include lib/matches.lua

local reply = { "", "", 0 }
reply[1], reply[2], reply[3] = each_match(false, function(id, score)
  reply[#reply + 1], reply[#reply + 2] = id, score
end)
return reply
