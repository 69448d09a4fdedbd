--@include lib/batch.lua
-- The clock of Redis may be set back: by hand, or as a replica takes over whose clock is behind. What was written before
-- would then end, or fall due, as much later. So the latest time at which there was a claim is kept, and where now is
-- before that, later times are set back by the difference. They are never set too far: the clock ran on between that
-- time and the step, so that claims last up to MARK_EVERY_MS longer than they would have, and never shorter.
-- clock = { mark, claimed, lock_prefix }: the names of keys; mark holds "<time>", and behind a blank by how many ms the
-- rest of the shard has to be set back where only its claims have been.
local CLOCK_SLACK_MS, MARK_EVERY_MS = 1000, 2000

-- set_claims_back(clock, now, by_ms): claims end sooner by so much, and their locks with them.
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

-- check_clock(clock, now): sets right the claims that a clock that was ahead has written; called before any is written or
-- looked at. Returns the time that is kept, 0 for none, and by how many ms the rest is to be set back, 0 for not at all.
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

-- mark_clock(clock, now, marked, rest): keeps the time, now and then. Called when there are claims.
local function mark_clock(clock, now, marked, rest)
  if now - marked < MARK_EVERY_MS then return end
  redis.call("SET", clock.mark, string.format(rest > 0 and "%.0f %.0f" or "%.0f", now, rest))
end
