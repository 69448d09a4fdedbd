#!lua flags=allow-oom
-- claim: take due messages, lock each, and return those this call locked.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms)
-- KEYS[2]  claimed    zset  message id -> lock end (epoch ms)
-- KEYS[3]  messages   hash  message id -> record, which opens with the due time
-- KEYS[4]  attempts   hash  message id -> "<failures> <recoveries>"
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock in tests; 0 in production
-- ARGV[2]  lock_prefix      string   lock key = lock_prefix .. id, in the shard's slot
-- ARGV[3]  token            string   unique to this call; acknowledge and release prove it
-- ARGV[4]  limit            integer  messages at most; fewer once their records pass 4 MiB
-- ARGV[5]  lock_ms          integer  how long the locks last
--
-- Returns  {now, next_in, recovered, id, due, record, attempts, id, due, record, attempts, ...}
--            now        Redis's clock, epoch ms
--            next_in    ms until the next message is due, 0 if one is; "" when none is scheduled
--            recovered  claims found expired and put back to due
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

local scheduled, claimed, messages, attempts = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local now = redis_now(tonumber(ARGV[1]))
local lock_prefix, token = ARGV[2], ARGV[3]
local limit, lock_ms = tonumber(ARGV[4]), tonumber(ARGV[5])
local lock_end = now + lock_ms
-- One reply holds about this much of records at most, however large they are.
local REPLY_BYTES, LOOK_AT_ONCE = 4194304, 50

-- values_of(hash, ids): like HMGET, for any number of ids.
local function values_of(hash, ids)
  local values = {}
  in_slices(ids, 1, function(first, last)
    local slice = redis.call("HMGET", hash, unpack(ids, first, last))
    for i = 1, #slice do values[first + i - 1] = slice[i] end
  end)
  return values
end

local expired = redis.call("ZRANGE", claimed, "-inf", now, "BYSCORE", "LIMIT", 0, limit)
if #expired > 0 then
  local records = values_of(messages, expired)
  redis.call("ZREMRANGEBYRANK", claimed, 0, #expired - 1)
  -- The lock may outlive its entry when clocks are moved: its holder has lost the claim either way.
  unlock(lock_prefix, expired)
  for i = 1, #expired do
    if records[i] then
      redis.call("ZADD", scheduled, string.match(records[i], "^%d+"), expired[i])
      count_attempt(attempts, expired[i], 0, 1)
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

local reply = { now, "", #expired }
if #ids > 0 then
  local counts = redis.call("EXISTS", attempts) == 1 and values_of(attempts, ids) or {}
  -- What is due is what is first in the set, so its ranks name it: cheaper than n members.
  redis.call("ZREMRANGEBYRANK", scheduled, 0, #ids - 1)
  local locked = {}
  for i = 1, #ids do
    local id = ids[i]
    if records[i] then
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

local next_due = head_due(scheduled)
if next_due then reply[2] = math.max(0, next_due - now) end
return reply
