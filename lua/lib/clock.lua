-- redis_now(offset_ms): Redis's own clock in epoch ms, moved by offset_ms (0 in production). Only this clock decides
-- what is due and when a lock ends. Also returns the time with a fraction, as text, for callers that sleep until a
-- message is due: without it they would be half a millisecond late.
local function redis_now(offset_ms)
  local time = redis.call("TIME")
  local now = time[1] * 1000 + math.floor(time[2] / 1000) + offset_ms
  return now, string.format("%.0f.%03d", now, time[2] % 1000)
end
