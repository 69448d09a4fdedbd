-- The scripts that claim begin with the same keys and arguments, in this order, and the functions they share take them
-- as one table. Needs lib/clock.lua and lib/record.lua.

-- claim_state(head): head is how many values the reply has before its messages.
local function claim_state(head)
  local offset_ms, lock_ms = tonumber(ARGV[1]), tonumber(ARGV[14])
  local now, exact_now = redis_now(offset_ms)
  local state = {
    now = now, exact_now = exact_now, wake_channel = ARGV[2], shard = ARGV[3],
    lock_prefix = ARGV[4], tag_prefix = ARGV[5], seen_prefix = ARGV[6], dedup_window_ms = tonumber(ARGV[9]),
    max_recoveries = tonumber(ARGV[12]), token = ARGV[13], lock_end = digits(now + lock_ms),
    -- The lock itself ends by Redis's own clock, also where tests have moved it for us.
    lock_until = digits(now + lock_ms - offset_ms),
    claimed = KEYS[2], messages = KEYS[3], attempts = KEYS[4], failures = KEYS[12], claims = KEYS[13],
    due = { scheduled = KEYS[1], laned = KEYS[9], hosts = KEYS[10], queues = KEYS[11] },
    history = { entries = KEYS[6], delivered = KEYS[7], dropped = KEYS[8],
      max = tonumber(ARGV[7]), ttl_ms = tonumber(ARGV[8]) },
    dead_letters = { dead = KEYS[5], failures = KEYS[12], messages = KEYS[3], attempts = KEYS[4], tag_prefix = ARGV[5],
      max = tonumber(ARGV[10]), ttl_ms = tonumber(ARGV[11]) },
    clock = { mark = KEYS[14], claimed = KEYS[2], lock_prefix = ARGV[4] },
    recovered = 0, dropped = 0, died = 0, trimmed = 0,
    -- what was taken off the schedule, in order; its bytes and its work
    ids = {}, due_at = {}, records = {}, lanes = {}, bytes = 0, work = 0,
    -- what was locked, as members of claimed; what is finished; the reply, and how many messages it has
    locked = {}, finished = {}, reply = {}, returned = 0,
  }
  for i = 1, head do state.reply[i] = "" end
  return state
end
