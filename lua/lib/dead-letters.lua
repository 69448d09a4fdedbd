-- Dead letters stay as they are until they are redriven, deleted or trimmed. Needs lib/tags.lua, lib/failures.lua
-- and lib/batch.lua.
-- graves = { dead, failures, messages, attempts, tag_prefix, max, ttl_ms }

-- bury(graves, id, options, reason, report, now): makes a message, already off the schedule and unclaimed, a dead letter.
local function bury(graves, id, options, reason, report, now)
  redis.call("ZADD", graves.dead, now, id)
  unindex_tags(graves.tag_prefix, id, options)
  note_failure(graves.failures, id, reason, report)
end

-- trim_dead(graves, now): deletes dead letters beyond the age, then the oldest beyond the count; at most 1,000 a call.
-- Returns how many.
local function trim_dead(graves, now)
  local AT_ONCE = 1000
  if redis.call("EXISTS", graves.dead) == 0 then return 0 end
  local ids = redis.call("ZRANGE", graves.dead, "-inf", now - graves.ttl_ms, "BYSCORE", "LIMIT", 0, AT_ONCE)
  local excess = math.min(redis.call("ZCARD", graves.dead) - graves.max, AT_ONCE)
  if excess > #ids then ids = redis.call("ZRANGE", graves.dead, 0, excess - 1) end
  in_slices(ids, 1, function(first, last)
    redis.call("ZREM", graves.dead, unpack(ids, first, last))
    redis.call("HDEL", graves.messages, unpack(ids, first, last))
    redis.call("HDEL", graves.attempts, unpack(ids, first, last))
    redis.call("HDEL", graves.failures, unpack(ids, first, last))
  end)
  return #ids
end
