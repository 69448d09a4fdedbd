#!lua
-- forecast: how many messages fall due in each of some equal spans of time.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms)
-- ARGV[1]  from       epoch ms  where the first span begins
-- ARGV[2]  bucket_ms  integer   how long each is; a span holds its beginning and not its end
-- ARGV[3]  buckets    integer   how many
--
-- Returns  a count per span
-- Writes   nothing
-- Cost     O(b log S), b = spans, S = scheduled messages

local scheduled = KEYS[1]
local from, bucket_ms, buckets = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local counts = {}
for i = 0, buckets - 1 do
  local first = string.format("%.0f", from + i * bucket_ms)
  local behind = string.format("(%.0f", from + (i + 1) * bucket_ms)
  counts[#counts + 1] = redis.call("ZCOUNT", scheduled, first, behind)
end
return counts
