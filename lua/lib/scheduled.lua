-- scheduled_score(keys, id): when a scheduled message is next due, false if it is not scheduled. It is in the main due
-- set, in the index of hosts, queues and what is set aside, or in the lane of streams (lib/lanes.lua).
-- keys = { scheduled, laned }
local function scheduled_score(keys, id)
  return redis.call("ZSCORE", keys.scheduled, id) or redis.call("ZSCORE", keys.laned, id)
    or redis.call("ZSCORE", keys.scheduled .. ":stream", id)
end
