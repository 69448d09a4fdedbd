--@include lib/history.lua
-- The history has its entries of cancelled messages in a hash and a sorted set of their own. Older servers look up
-- nothing there, a bulk cancel pushes no outcome of a delivery out of the history, and the scripts that claim and
-- settle do nothing for it.
--
-- An entry is one of the history (lib/history.lua); behind its counts, if it is known, is the name of the key that
-- cancelled the message. They are bounded by the same count and age as the others. Both keys end when nothing was
-- cancelled for that age.
--
-- cancelled = { entries = hash key, set = zset key, max = n, ttl_ms = n }

-- add_cancellation(cancelled, id, record, now, by, counts, failures): notes one entry. now in digits; by, counts and
-- failures "" for none.
local function add_cancellation(cancelled, id, record, now, by, counts, failures)
  if cancelled.max == 0 or cancelled.ttl_ms == 0 then return end
  cancelled.noted = cancelled.noted or { entries = {}, members = {} }
  local entries, members = cancelled.noted.entries, cancelled.noted.members
  local entry = history_entry("cancelled", now, "0", counts, by, record, failures ~= "" and failures, "")
  entries[#entries + 1], entries[#entries + 2] = id, entry
  members[#members + 1], members[#members + 2] = now, id
end

-- forget_cancelled(cancelled, ids): of ids that are used again, or are too old or too many.
local function forget_cancelled(cancelled, ids)
  in_slices(ids, 1, function(first, last)
    redis.call("HDEL", cancelled.entries, unpack(ids, first, last))
    redis.call("ZREM", cancelled.set, unpack(ids, first, last))
  end)
end

-- write_cancellations(cancelled, now): writes what was noted, and trims.
local function write_cancellations(cancelled, now)
  local AT_ONCE = 1000
  local noted, set = cancelled.noted, cancelled.set
  if not noted then return end
  in_slices(noted.entries, 2, function(first, last)
    redis.call("HSET", cancelled.entries, unpack(noted.entries, first, last))
    redis.call("ZADD", set, unpack(noted.members, first, last))
  end)
  forget_cancelled(cancelled, redis.call("ZRANGE", set, "-inf", now - cancelled.ttl_ms, "BYSCORE", "LIMIT", 0, AT_ONCE))
  local excess = math.min(redis.call("ZCARD", set) - cancelled.max, AT_ONCE)
  if excess > 0 then forget_cancelled(cancelled, redis.call("ZRANGE", set, 0, excess - 1)) end
  redis.call("PEXPIRE", cancelled.entries, cancelled.ttl_ms)
  redis.call("PEXPIRE", set, cancelled.ttl_ms)
end
