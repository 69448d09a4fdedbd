--@include lib/clock.lua
--@include lib/pauses.lua
--@include lib/record.lua
-- The scripts that claim begin with the same keys and arguments, in this order, and the functions they share take them
-- as one table.
--
-- KEYS[1]  scheduled  zset    message id -> due time (epoch ms); the main due set, of which lanes are suffixes
-- KEYS[2]  claimed    zset    message id -> lock end (epoch ms)
-- KEYS[3]  messages   hash    message id -> record, which opens with the due time
-- KEYS[4]  attempts   hash    message id -> "<failures> <recoveries>"
-- KEYS[5]  dead       zset    message id -> became a dead letter at (epoch ms)
-- KEYS[6]  history    hash    message id -> outcome
-- KEYS[7]  delivered  zset    message id -> finished at (epoch ms)
-- KEYS[8]  dropped    zset    message id -> finished at (epoch ms)
-- KEYS[9]  laned      zset    message id in a lane -> due time (epoch ms)
-- KEYS[10] hosts      zset    lane of a webhook host -> due time of its first message
-- KEYS[11] queues     zset    lane of a pull queue -> due time of its first message
-- KEYS[12] failures   hash    message id -> reason and last attempts
-- KEYS[13] claims     string  the number of claims so far
-- KEYS[14] clock      string  the latest time at which there was a claim, see lib/clock-step.lua
-- KEYS[15] pauses     hash    what is paused, see lib/pauses.lua
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  wake_channel     string   where sleeping servers listen
-- ARGV[3]  shard            integer  named in what is published
-- ARGV[4]  lock_prefix      string   lock key = lock_prefix .. id, in the shard's slot
-- ARGV[5]  tag_prefix       string   tag index key = tag_prefix .. tag
-- ARGV[6]  seen_prefix      string   key of a finished client-made id = seen_prefix .. id
-- ARGV[7]  history_max      integer  outcomes kept in this shard; 0 keeps none
-- ARGV[8]  history_ttl_ms   integer  how long they are kept; 0 keeps none
-- ARGV[9]  dedup_window_ms  integer  how long finished client-made ids stay known
-- ARGV[10] dead_max         integer  dead letters kept in this shard
-- ARGV[11] dead_ttl_ms      integer  how long they are kept
-- ARGV[12] max_recoveries   integer  a claim that expires after so many makes its message a dead letter
-- ARGV[13] token            string   unique to this call; acknowledge, release and extend prove it
-- ARGV[14] lock_ms          integer  how long the locks last

-- claim_state(head): head is how many values the reply has before its messages.
local function claim_state(head)
  local lock_ms = tonumber(ARGV[14])
  local now, exact_now = redis_now(ARGV[1])
  local state = {
    now = now, exact_now = exact_now, wake_channel = ARGV[2], shard = ARGV[3],
    lock_prefix = ARGV[4], tag_prefix = ARGV[5], seen_prefix = ARGV[6], dedup_window_ms = tonumber(ARGV[9]),
    max_recoveries = tonumber(ARGV[12]), token = ARGV[13], lock_end = digits(now + lock_ms),
    lock_px = px_of(lock_ms),
    claimed = KEYS[2], messages = KEYS[3], attempts = KEYS[4], failures = KEYS[12], claims = KEYS[13],
    due = { scheduled = KEYS[1], laned = KEYS[9], hosts = KEYS[10], queues = KEYS[11] },
    history = { entries = KEYS[6], delivered = KEYS[7], dropped = KEYS[8],
      max = tonumber(ARGV[7]), ttl_ms = tonumber(ARGV[8]) },
    dead_letters = { dead = KEYS[5], failures = KEYS[12], messages = KEYS[3], attempts = KEYS[4], tag_prefix = ARGV[5],
      max = tonumber(ARGV[10]), ttl_ms = tonumber(ARGV[11]) },
    clock = { mark = KEYS[14], claimed = KEYS[2], lock_prefix = ARGV[4] },
    pauses = read_pauses(KEYS[15], now),
    recovered = {}, dropped = {}, died = {}, trimmed = 0,
    -- the messages taken off the schedule, in order; their bytes and their work
    ids = {}, due_at = {}, records = {}, lanes = {}, bytes = 0, work = 0,
    -- locked messages, as members of claimed; finished ids; the reply, and its number of messages
    locked = {}, finished = {}, reply = {}, returned = 0,
  }
  for i = 1, head do state.reply[i] = "" end
  return state
end
