#!lua flags=allow-oom
-- claim: take due messages, lock each, and return those this call locked.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms)
-- KEYS[2]  claimed    zset  message id -> lock end (epoch ms)
-- KEYS[3]  messages   hash  message id -> record, which opens with the due time
-- KEYS[4]  attempts   hash  message id -> "<failures> <recoveries>"
-- KEYS[5]  dead       zset  message id -> given up at (epoch ms)
-- KEYS[6]  history    hash  message id -> outcome
-- KEYS[7]  delivered  zset  message id -> finished at (epoch ms)
-- KEYS[8]  dropped    zset  message id -> finished at (epoch ms)
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock in tests; 0 in production
-- ARGV[2]  lock_prefix      string   lock key = lock_prefix .. id, in the shard's slot
-- ARGV[3]  tag_prefix       string   tag index key = tag_prefix .. tag
-- ARGV[4]  seen_prefix      string   key of a finished client-made id = seen_prefix .. id
-- ARGV[5]  history_max      integer  outcomes kept in this shard; 0 keeps none
-- ARGV[6]  history_ttl_ms   integer  how long they are kept; 0 keeps none
-- ARGV[7]  dedup_window_ms  integer  how long finished client-made ids stay known
-- ARGV[8]  token            string   unique to this call; acknowledge and release prove it
-- ARGV[9]  limit            integer  messages at most; fewer once their records pass 4 MiB
-- ARGV[10] lock_ms          integer  how long the locks last
--
-- Returns  {now, next_in, recovered, dropped, dead, id, due, record, attempts, id, due, record, attempts, ...}
--            now        Redis's clock, epoch ms
--            next_in    ms until the next message is due, 0 if one is; "" when none is scheduled
--            recovered  claims found expired and put back to due
--            dropped    messages past their not-after that were dropped
--            dead       messages past their not-after that became dead letters
--            due        when this attempt was due, epoch ms (a retry's own time)
--            attempts   "<failures> <recoveries>", "" when there was neither
-- Writes   locks and claimed entries for what it returns; expired claims go back to scheduled.
--          A due id without a record is forgotten. One that another lock holds is parked in
--          claimed until that lock ends: never returned, never lost.
-- Cost     O((n + r) log S), n = claimed now, r = recovered (at most limit each)
--@include lib/clock.lua
--@include lib/batch.lua
--@include lib/lock.lua
--@include lib/wake.lua
--@include lib/attempts.lua
--@include lib/record.lua
--@include lib/tags.lua
--@include lib/history.lua
--@include lib/seen.lua

local scheduled, claimed, messages, attempts, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local history = { entries = KEYS[6], delivered = KEYS[7], dropped = KEYS[8] }
local now = redis_now(tonumber(ARGV[1]))
local lock_prefix, tag_prefix, seen_prefix = ARGV[2], ARGV[3], ARGV[4]
history.max, history.ttl_ms = tonumber(ARGV[5]), tonumber(ARGV[6])
local dedup_window_ms, token = tonumber(ARGV[7]), ARGV[8]
local limit, lock_ms = tonumber(ARGV[9]), tonumber(ARGV[10])
local lock_end = now + lock_ms
-- One reply holds this much of records at most, and the few that were looked at together with the last.
local REPLY_BYTES, LOOK_AT_ONCE = 4194304, 8

-- values_of(hash, ids): like HMGET, for any number of ids.
local function values_of(hash, ids)
  local values = {}
  in_slices(ids, 1, function(first, last)
    local slice = redis.call("HMGET", hash, unpack(ids, first, last))
    for i = 1, #slice do values[first + i - 1] = slice[i] end
  end)
  return values
end

-- too_late(options): "drop" or "dead-letter" when the message's not-after has passed and it asks for that.
local function too_late(options)
  if options and options.n and options.l and now > tonumber(options.n) and options.l ~= "deliver" then
    return options.l
  end
end

local counted = { drop = 0, ["dead-letter"] = 0 }

-- give_up(word, id, record, options, counts): drops a message that is too late, or makes it a dead letter.
local function give_up(word, id, record, options, counts)
  counted[word] = counted[word] + 1
  unindex_tags(tag_prefix, id, options)
  if word == "dead-letter" then
    redis.call("ZADD", dead, now, id)
    return
  end
  remember_id(seen_prefix, dedup_window_ms, id, "dropped", options)
  note_outcome(history, "dropped", id, record, now, now - tonumber(due_of(record)), counts)
  redis.call("HDEL", messages, id)
  redis.call("HDEL", attempts, id)
end

local expired = redis.call("ZRANGE", claimed, "-inf", now, "BYSCORE", "LIMIT", 0, limit)
if #expired > 0 then
  redis.call("ZREMRANGEBYRANK", claimed, 0, #expired - 1)
  -- The lock may outlive its entry when clocks are moved: its holder has lost the claim either way.
  unlock(lock_prefix, expired)
  for first = 1, #expired, LOOK_AT_ONCE do
    local last = math.min(first + LOOK_AT_ONCE - 1, #expired)
    local records = redis.call("HMGET", messages, unpack(expired, first, last))
    for i = first, last do
      local record = records[i - first + 1]
      if record then
        local due_at = due_of(record)
        redis.call("ZADD", scheduled, due_at, expired[i])
        index_tags(tag_prefix, expired[i], options_of(record), due_at)
        count_attempt(attempts, expired[i], 0, 1)
      end
    end
  end
end

local due = redis.call("ZRANGE", scheduled, "-inf", now, "BYSCORE", "LIMIT", 0, limit, "WITHSCORES")
local ids, records, bytes = {}, {}, 0
for first = 1, #due, 2 * LOOK_AT_ONCE do
  if bytes > REPLY_BYTES then break end
  local slice = {}
  for i = first, math.min(first + 2 * LOOK_AT_ONCE - 1, #due), 2 do slice[#slice + 1] = due[i] end
  local values = redis.call("HMGET", messages, unpack(slice))
  for i = 1, #slice do
    ids[#ids + 1] = slice[i]
    records[#ids] = values[i]
    bytes = bytes + (values[i] and #values[i] or 0)
  end
end

local reply = { now, "", #expired, 0, 0 }
if #ids > 0 then
  local counts = redis.call("EXISTS", attempts) == 1 and values_of(attempts, ids) or {}
  -- What is due is what is first in the set, so its ranks name it: cheaper than n members.
  redis.call("ZREMRANGEBYRANK", scheduled, 0, #ids - 1)
  local locked = {}
  for i = 1, #ids do
    local id = ids[i]
    local options = records[i] and options_of(records[i])
    local word = too_late(options)
    if word then
      give_up(word, id, records[i], options, counts[i])
    elseif records[i] then
      local lock = lock_prefix .. id
      local ends = lock_end
      if redis.call("SET", lock, token, "NX", "PX", lock_ms) then
        reply[#reply + 1] = id
        reply[#reply + 1] = due[2 * i]
        reply[#reply + 1] = records[i]
        reply[#reply + 1] = counts[i] or ""
      else
        local left_ms = redis.call("PTTL", lock)
        if left_ms >= 0 then ends = now + left_ms end
      end
      locked[#locked + 1] = ends
      locked[#locked + 1] = id
    end
  end
  in_slices(locked, 2, function(first, last)
    redis.call("ZADD", claimed, unpack(locked, first, last))
  end)
end

if history.max > 0 or redis.call("EXISTS", history.entries) == 1 then trim_history(history, now) end
reply[4], reply[5] = counted.drop, counted["dead-letter"]
local next_due = head_due(scheduled)
if next_due then reply[2] = math.max(0, next_due - now) end
return reply
