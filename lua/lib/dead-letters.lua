--@include lib/failures.lua
--@include lib/tags.lua
-- Dead letters do not change until they are redriven, deleted or trimmed.
-- dead_letters = { dead, failures, messages, attempts, tag_prefix, max, ttl_ms }

-- move_to_dead_letters(dead_letters, id, options, reason, report, now): makes a message a dead letter. It must not be
-- scheduled or claimed.
local function move_to_dead_letters(dead_letters, id, options, reason, report, now)
  redis.call("ZADD", dead_letters.dead, now, id)
  unindex_tags(dead_letters.tag_prefix, id, options)
  note_failure(dead_letters.failures, id, reason, report)
end

-- trim_dead(dead_letters, now): deletes dead letters that are too old, then the oldest beyond the count; at most 1,000
-- per call. Returns how many.
local function trim_dead(dead_letters, now)
  local AT_ONCE = 1000
  if redis.call("EXISTS", dead_letters.dead) == 0 then return 0 end
  local ids = redis.call("ZRANGE", dead_letters.dead, "-inf", now - dead_letters.ttl_ms, "BYSCORE", "LIMIT", 0, AT_ONCE)
  local excess = math.min(redis.call("ZCARD", dead_letters.dead) - dead_letters.max, AT_ONCE)
  if excess > #ids then ids = redis.call("ZRANGE", dead_letters.dead, 0, excess - 1) end
  in_slices(ids, 1, function(first, last)
    redis.call("ZREM", dead_letters.dead, unpack(ids, first, last))
    redis.call("HDEL", dead_letters.messages, unpack(ids, first, last))
    redis.call("HDEL", dead_letters.attempts, unpack(ids, first, last))
    redis.call("HDEL", dead_letters.failures, unpack(ids, first, last))
  end)
  return #ids
end
