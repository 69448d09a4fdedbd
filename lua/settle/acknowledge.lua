#!lua flags=allow-oom
-- acknowledge: delete delivered messages whose lock still holds the token of their claim.
--
-- KEYS[1]  claimed    zset  message id -> lock end (epoch ms)
-- KEYS[2]  messages   hash  message id -> record
-- KEYS[3]  attempts   hash  message id -> "<failures> <recoveries>"
-- KEYS[4]  history    hash  message id -> history entry
-- KEYS[5]  delivered  zset  message id -> finished at (epoch ms)
-- KEYS[6]  dropped    zset  message id -> finished at (epoch ms)
-- KEYS[7]  failures   hash  message id -> reason and last attempts
-- ARGV[1]  clock_offset_ms   integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  lock_prefix       string   lock key = lock_prefix .. id, in the shard's slot
-- ARGV[3]  tag_prefix        string   tag index key = tag_prefix .. tag
-- ARGV[4]  seen_prefix       string   key of a finished client-made id = seen_prefix .. id
-- ARGV[5]  history_max       integer  history entries kept in this shard; 0 keeps none
-- ARGV[6]  history_ttl_ms    integer  how long they are kept; 0 keeps none
-- ARGV[7]  dedup_window_ms   integer  how long finished client-made ids stay known
-- ARGV[8..]                  four per delivered message:
--            id       each once
--            token    the token that claim was called with
--            late_ms  how late its delivery began; "" for by how much it is late now
--            attempt  "<claim> <duration ms> <status> <server>" for the history, see lib/history.lua; "" for none
--
-- Returns  {looked_at, id, ...}: how many messages were processed, fewer than asked if they are much work; and the ids
--          among them whose lock does not hold this token
-- Writes   only for owned ids
-- Cost     O(n log C), n = ids, C = claims in flight
--@include lib/clock.lua
--@include lib/history.lua
--@include lib/lock.lua
--@include lib/record.lua
--@include lib/seen.lua
--@include lib/tags.lua

local claimed, messages, attempts, failures = KEYS[1], KEYS[2], KEYS[3], KEYS[7]
local history = { entries = KEYS[4], delivered = KEYS[5], dropped = KEYS[6] }
local now = redis_now(ARGV[1])
local now_digits = digits(now)
local lock_prefix, tag_prefix, seen_prefix = ARGV[2], ARGV[3], ARGV[4]
history.max, history.ttl_ms = tonumber(ARGV[5]), tonumber(ARGV[6])
local dedup_window_ms = tonumber(ARGV[7])
local FIRST, WIDTH = 8, 4
local ids, tokens = {}, {}
for i = FIRST, #ARGV, WIDTH do
  ids[#ids + 1] = ARGV[i]
  tokens[#tokens + 1] = ARGV[i + 1]
end

-- Tags, and the fingerprint of a client-made id.
local OF_INTEREST = { "t", "f" }
-- Tags and client-made ids cost a write each: a call does a bounded number.
local WRITES_AT_ONCE, LOOK_AT_ONCE = 1500, 100
local positions, lost = split_by_owner(lock_prefix, ids, tokens)
local owned, tags, writes, done = {}, {}, 0, 0
for i = 1, #positions do owned[i] = ids[positions[i]] end
local any_attempts, any_failures = redis.call("EXISTS", attempts) == 1, redis.call("EXISTS", failures) == 1
while done < #owned and writes < WRITES_AT_ONCE do
  local first, last = done + 1, math.min(done + LOOK_AT_ONCE, #owned)
  local records = redis.call("HMGET", messages, unpack(owned, first, last))
  local counts = any_attempts and redis.call("HMGET", attempts, unpack(owned, first, last)) or {}
  local notes = any_failures and redis.call("HMGET", failures, unpack(owned, first, last)) or {}
  for i = first, last do
    local id, record = owned[i], records[i - first + 1]
    if record then
      local options = options_with(record, OF_INTEREST)
      if options then
        collect_tags(tags, id, options)
        remember_id(seen_prefix, dedup_window_ms, id, "delivered", options)
        writes = writes + 1 + #(options.t or {})
      end
      local given = FIRST + WIDTH * (positions[i] - 1)
      local late_ms = ARGV[given + 2]
      if late_ms == "" then late_ms = digits(math.max(0, now - tonumber(due_of(record)))) end
      local at = i - first + 1
      add_history_entry(history, "delivered", id, record, now_digits, late_ms, counts[at], notes[at], ARGV[given + 3])
    end
  end
  redis.call("ZREM", claimed, unpack(owned, first, last))
  redis.call("HDEL", messages, unpack(owned, first, last))
  if any_attempts then redis.call("HDEL", attempts, unpack(owned, first, last)) end
  if any_failures then redis.call("HDEL", failures, unpack(owned, first, last)) end
  done = last
end
local looked_at = done < #owned and positions[done + 1] - 1 or #ids
for i = #owned, done + 1, -1 do owned[i] = nil end
unindex_all_tags(tag_prefix, tags)
write_history(history)
unlock(lock_prefix, owned)
if #owned > 0 and history.max > 0 then trim_history(history, now) end
local reply = { looked_at }
for i = 1, #lost do
  if lost[i] <= looked_at then reply[#reply + 1] = ids[lost[i]] end
end
return reply
