--@include lib/lanes.lua
--@include lib/record.lua
--@include lib/tags.lua
-- Sets back the other times of a shard, after its claims: see lib/clock-step.lua.

-- set_back_end_times(sets, entries, now): sets end times in the future to now. Otherwise messages that end from now on
-- would count as the oldest, and be deleted first. sets: of the dead, the delivered and the dropped; entries: the hash
-- of the history.
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

-- set_back_retries(due, places, attempts, messages, tag_prefix, now, by_ms): notes for enqueue_all the messages that
-- wait for a retry, by_ms earlier and never before their own time. Skipped for more than AT_MOST: it would block Redis
-- for too long.
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
      collect(places, lane_of(options), id, due_at)
      index_tags(tag_prefix, id, options, due_at)
    end
  end
end
