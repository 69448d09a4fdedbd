-- count_attempt(attempts, id, failures, recoveries): adds to a message's two counts, kept as
-- "<failures> <recoveries>". Apart, because a crash of a server must not use up a retry.
local function count_attempt(attempts, id, failures, recoveries)
  local before = redis.call("HGET", attempts, id) or "0 0"
  local failed, recovered = string.match(before, "^(%d+) (%d+)$")
  redis.call("HSET", attempts, id, (failed + failures) .. " " .. (recovered + recoveries))
end
