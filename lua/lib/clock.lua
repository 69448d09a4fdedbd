-- Only Redis's own clock decides what is due and when a lock ends; or in its place the test clock, which servers give
-- as "<at> <since> <rate>": at Redis's time since it showed at, and from then on it is rate times as fast, 0 for
-- frozen. By it Redis would expire keys at the wrong time. So these expire far in the future, which tells when they end
-- by the test clock. ttl_shift corrects the PTTL of such a key, and is 0 without a test clock.
local FAR_MS, ttl_shift = 1000000000000000, 0

-- redis_now(clock): the time in epoch ms. clock is by how many ms Redis's clock is moved (0 in production), or a test
-- clock. Also returns the time with a fraction, as text, for callers that sleep until a message is due: without it they
-- would be half a millisecond late.
local function redis_now(clock)
  local time, offset_ms = redis.call("TIME"), tonumber(clock)
  local real = time[1] * 1000 + math.floor(time[2] / 1000)
  if offset_ms then return real + offset_ms, string.format("%.0f.%03d", real + offset_ms, time[2] % 1000) end
  local at, since, rate = string.match(clock, "^(%d+) (%d+) ([%d.]+)")
  local now = at + math.floor((real - since) * rate)
  ttl_shift = real - FAR_MS - now
  return now, string.format("%.0f.000", now)
end

-- px_of(ms): what PX and PEXPIRE need for a key that is to end in so many ms.
local function px_of(ms)
  return string.format("%.0f", ms - ttl_shift)
end

-- ms_left(key): in how many ms a key ends, less than 0 for one that does not exist or has ended.
local function ms_left(key)
  return redis.call("PTTL", key) + ttl_shift
end

-- has_ended(key): whether a key that Redis still has ended by the test clock.
local function has_ended(key)
  return ttl_shift ~= 0 and ms_left(key) <= 0
end
