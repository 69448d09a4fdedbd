-- A message's two counts, stored as "<failures> <recoveries>" once one of them is not 0. They are separate, because a
-- crash of a server must not use up a retry.

-- counts_of(attempts, id): both counts, as numbers.
local function counts_of(attempts, id)
  local failed, recovered = string.match(redis.call("HGET", attempts, id) or "", "^(%d+) (%d+)$")
  return tonumber(failed or 0), tonumber(recovered or 0)
end

-- add_to_counts(attempts, id, failures, recoveries): adds to both counts.
local function add_to_counts(attempts, id, failures, recoveries)
  local failed, recovered = counts_of(attempts, id)
  redis.call("HSET", attempts, id, (failed + failures) .. " " .. (recovered + recoveries))
end
