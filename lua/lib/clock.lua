-- redis_now(offset_ms): Redis's own clock in epoch ms, moved by offset_ms (0 in production).
-- It is the only clock that decides what is due and when a lock ends.
local function redis_now(offset_ms)
  local time = redis.call("TIME")
  return time[1] * 1000 + math.floor(time[2] / 1000) + offset_ms
end
