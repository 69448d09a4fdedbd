--@include lib/lanes.lua
--@include lib/record.lua
--@include lib/tags.lua
-- What is left to set right in a shard once its claims have been, see lib/clock-step.lua.

-- set_back_end_times(sets, entries, now): what ended in the future has ended now. Otherwise what ends from now on would be
-- taken for the oldest, and be the first to be deleted. sets: of the dead, the delivered and the dropped; entries: the
-- hash of the history.
local function set_back_end_times(sets, entries, now)
  local later, now_digits = "(" .. digits(now), digits(now)
  for _, key in ipairs(sets) do
    local members = {}
    for i, id in ipairs(redis.call("ZRANGE", key, later, "+inf", "BYSCORE")) do
      members[2 * i - 1], members[2 * i] = now_digits, id
      local entry = redis.call("HGET", entries, id)
      if entry then redis.call("HSET", entries, id, (string.gsub(entry, "^(%a+) %d+", "%1 " .. now_digits, 1))) end
    end
    in_slices(members, 2, function(first, last)
      redis.call("ZADD", key, unpack(members, first, last))
    end)
  end
end

-- set_back_retries(due, places, attempts, messages, tag_prefix, now, by_ms): notes for place_all what waits for a retry,
-- sooner by so much and never before its own time. Of more than so many none: Redis would be held up for too long.
local function set_back_retries(due, places, attempts, messages, tag_prefix, now, by_ms)
  local AT_MOST = 10000
  if redis.call("HLEN", attempts) > AT_MOST then return end
  for _, id in ipairs(redis.call("HKEYS", attempts)) do
    local record = redis.call("HGET", messages, id)
    local options = record and options_of(record)
    local score = record and tonumber(redis.call("ZSCORE", due_set(due, lane_of(options)), id) or nil)
    local own = record and tonumber(due_of(record))
    if score and score > now and score > own then
      local due_at = digits(math.max(own, score - by_ms))
      gather(places, lane_of(options), id, due_at)
      index_tags(tag_prefix, id, options, due_at)
    end
  end
end
