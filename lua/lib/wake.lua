-- head_due(set): the lowest score of a sorted set, nil if it is empty. For a due set: when its first message is due.
local function head_due(set)
  return tonumber(redis.call("ZRANGE", set, 0, 0, "WITHSCORES")[2])
end

-- wake_claimers(channel, shard, lane, head_before, earliest, now): publishes "<shard> <in_ms> <lane>" if earliest
-- became the first due time of the lane, so that sleeping servers wake in time.
local function wake_claimers(channel, shard, lane, head_before, earliest, now)
  if head_before and head_before <= earliest then return end
  local in_ms = math.max(0, earliest - now)
  redis.pcall("PUBLISH", channel, shard .. " " .. string.format("%.0f ", in_ms) .. lane)
end
