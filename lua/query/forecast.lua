#!lua flags=no-writes
-- forecast: how many messages fall due in each of some equal spans of time.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms)
-- KEYS[2]  laned      zset  message id in a lane -> due time (epoch ms)
-- ARGV[1]  from       epoch ms  where the first span begins
-- ARGV[2]  to         epoch ms  where the last one ends, sooner than the others if need be
-- ARGV[3]  bucket_ms  integer   how long each is; a span holds its beginning and not its end
--
-- Returns  a count per span
-- Writes   nothing
-- Cost     O(b log S), b = spans, S = scheduled messages

local sets = { KEYS[1], KEYS[1] .. ":stream", KEYS[2] }
local from, to, bucket_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local counts = {}
for first = from, to - 1, bucket_ms do
  local from_there, to_there = string.format("%.0f", first), string.format("(%.0f", math.min(first + bucket_ms, to))
  local count = 0
  for _, set in ipairs(sets) do count = count + redis.call("ZCOUNT", set, from_there, to_there) end
  counts[#counts + 1] = count
end
return counts
