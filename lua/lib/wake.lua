-- head_due(scheduled): the due time of the next message, nil when there is none.
local function head_due(scheduled)
  return tonumber(redis.call("ZRANGE", scheduled, 0, 0, "WITHSCORES")[2])
end

-- wake_claimers(channel, shard, head_before, earliest, now): publishes "<shard> <in_ms>" when
-- earliest became the next message of its shard, so that sleeping servers wake in time for it.
-- Returns in_ms, or "" when the head did not move.
local function wake_claimers(channel, shard, head_before, earliest, now)
  if not earliest or (head_before and head_before <= earliest) then return "" end
  local in_ms = math.max(0, earliest - now)
  redis.call("PUBLISH", channel, shard .. " " .. string.format("%.0f", in_ms))
  return in_ms
end
