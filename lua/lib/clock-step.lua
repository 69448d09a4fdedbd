--@include lib/batch.lua
-- The clock of Redis may be set back: by hand, or by a failover to a replica whose clock is behind. Times written
-- before would then be later than meant. So the shard keeps the latest time of a claim. If now is before it, later
-- times are set back by the difference. This never sets them back too far: the clock continued between that time and
-- the step, so claims last up to MARK_EVERY_MS longer than meant, and never shorter.
-- clock = { mark, claimed, lock_prefix }: the names of keys. mark holds "<time>", or "<time> <ms>" if the claims were
-- set back, and the rest of the shard still has to be, by so many ms.
local CLOCK_SLACK_MS, MARK_EVERY_MS = 1000, 2000

-- set_claims_back(clock, now, by_ms): makes claims and their locks end by_ms earlier.
local function set_claims_back(clock, now, by_ms)
  local claims = redis.call("ZRANGE", clock.claimed, string.format("(%.0f", now), "+inf", "BYSCORE", "WITHSCORES")
  local members = {}
  for i = 1, #claims, 2 do
    local ends_in, key = tonumber(claims[i + 1]) - by_ms - now, clock.lock_prefix .. claims[i]
    if redis.call("PTTL", key) > ends_in then redis.call("PEXPIRE", key, math.max(1, ends_in)) end
    members[i], members[i + 1] = string.format("%.0f", now + ends_in), claims[i]
  end
  in_slices(members, 2, function(first, last)
    redis.call("ZADD", clock.claimed, unpack(members, first, last))
  end)
end

-- check_clock(clock, now): sets claims back if the clock was set back; called before claims are read or written.
-- Returns the kept time, 0 if there is none, and by how many ms the rest of the shard has to be set back.
local function check_clock(clock, now)
  local text = redis.call("GET", clock.mark)
  local marked, rest = tonumber(text or 0), 0
  if not marked then
    marked, rest = string.match(text, "^(%d+) (%d+)$")
    marked, rest = tonumber(marked or 0), tonumber(rest or 0)
  end
  if marked > now + CLOCK_SLACK_MS then
    local by_ms = marked - now
    set_claims_back(clock, now, by_ms)
    marked, rest = now, rest + by_ms
    redis.call("SET", clock.mark, string.format("%.0f %.0f", now, rest))
  end
  return marked, rest
end

-- mark_clock(clock, now, marked, rest): keeps the time, at most every MARK_EVERY_MS. Called when there are claims.
local function mark_clock(clock, now, marked, rest)
  if now - marked < MARK_EVERY_MS then return end
  redis.call("SET", clock.mark, string.format(rest > 0 and "%.0f %.0f" or "%.0f", now, rest))
end
