#!lua flags=no-writes
-- size: how many members of an index have a score within a range.
--
-- KEYS[1]  index    zset  message id -> score: a state's set, a lane's, or a tag's
-- KEYS[2]  claimed  zset  message id -> lock end (epoch ms)
-- ARGV[1]  from     epoch ms  lowest score, or "-inf"
-- ARGV[2]  before   epoch ms  a score above the highest, or "+inf"
-- ARGV[3]  state    string    "scheduled": without the claimed ones, which a tag's index has too; "" for all
--
-- Returns  {count}; {"unknown"}: so many are claimed that to look at each would take too long
-- Writes   nothing
-- Cost     O(log n), n = members of the index; for a state O(c log n), c = claimed messages, 5,000 at most

local index, claimed = KEYS[1], KEYS[2]
local from, before, state = ARGV[1], ARGV[2], ARGV[3]
local MOST_CLAIMED = 5000

local count = redis.call("ZCOUNT", index, from, before == "+inf" and before or "(" .. before)
if state == "" or count == 0 then return { count } end
if redis.call("ZCARD", claimed) > MOST_CLAIMED then return { "unknown" } end
local lowest = from == "-inf" and -math.huge or tonumber(from)
local above = before == "+inf" and math.huge or tonumber(before)
for _, id in ipairs(redis.call("ZRANGE", claimed, 0, -1)) do
  local score = tonumber(redis.call("ZSCORE", index, id) or nil)
  if score and score >= lowest and score < above then count = count - 1 end
end
return { count }
