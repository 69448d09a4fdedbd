#!lua flags=allow-oom
-- release: put claimed messages back on the schedule, if their lock still holds this claim's token.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms)
-- KEYS[2]  claimed    zset  message id -> lock end (epoch ms)
-- KEYS[3]  attempts   hash  message id -> "<failures> <recoveries>"
-- KEYS[4]  messages   hash  message id -> record
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock in tests; 0 in production
-- ARGV[2]  wake_channel     string   where sleeping servers listen
-- ARGV[3]  shard            integer  named in what is published
-- ARGV[4]  lock_prefix      string   lock key = lock_prefix .. id, in the shard's slot
-- ARGV[5]  tag_prefix       string   tag index key = tag_prefix .. tag
-- ARGV[6]  token            string   the token claim was called with
-- ARGV[7..]                 three per message:
--            id
--            why   "failed": uses an attempt, due again when ms from now;
--                  "returned": undelivered and unharmed, uses none, due again at when
--            when  ms from now, or the epoch ms that claim returned as due
--
-- Returns  the ids this claim no longer owned; empty when all were put back
-- Writes   only for owned ids; publishes when one of them became the next message
-- Cost     O(n log S), n = ids, S = scheduled messages
--@include lib/clock.lua
--@include lib/batch.lua
--@include lib/lock.lua
--@include lib/wake.lua
--@include lib/attempts.lua
--@include lib/record.lua
--@include lib/tags.lua

local scheduled, claimed, attempts, messages = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local now = redis_now(tonumber(ARGV[1]))
local wake_channel, shard = ARGV[2], ARGV[3]
local lock_prefix, tag_prefix, token = ARGV[4], ARGV[5], ARGV[6]
local ids, why, when = {}, {}, {}
for i = 7, #ARGV, 3 do
  ids[#ids + 1] = ARGV[i]
  why[ARGV[i]] = ARGV[i + 1]
  when[ARGV[i]] = tonumber(ARGV[i + 2])
end

local owned, lost = split_by_owner(lock_prefix, token, ids)
local head_before = head_due(scheduled)
local earliest
for i = 1, #owned do
  local id = owned[i]
  local due_at = when[id]
  if why[id] == "failed" then
    due_at = now + due_at
    count_attempt(attempts, id, 1, 0)
    local record = redis.call("HGET", messages, id)
    index_tags(tag_prefix, id, record and options_of(record), due_at)
  end
  redis.call("ZREM", claimed, id)
  redis.call("ZADD", scheduled, due_at, id)
  if not earliest or due_at < earliest then earliest = due_at end
end
unlock(lock_prefix, owned)
wake_claimers(wake_channel, shard, head_before, earliest, now)
return lost
