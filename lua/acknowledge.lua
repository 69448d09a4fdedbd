#!lua flags=allow-oom
-- acknowledge: forget delivered messages whose lock still holds this claim's token.
--
-- KEYS[1]  claimed   zset  message id -> lock end (epoch ms)
-- KEYS[2]  messages  hash  message id -> record
-- KEYS[3]  attempts  hash  message id -> "<failures> <recoveries>"
-- ARGV[1]  lock_prefix  string  lock key = lock_prefix .. id, in the shard's slot
-- ARGV[2]  token        string  the token claim was called with
-- ARGV[3..]             id      the delivered messages
--
-- Returns  the ids this claim no longer owned; empty when all were removed
-- Writes   only for owned ids
-- Cost     O(n log C), n = ids, C = claims in flight
--@include lib/batch.lua
--@include lib/lock.lua

local claimed, messages, attempts = KEYS[1], KEYS[2], KEYS[3]
local lock_prefix, token = ARGV[1], ARGV[2]
local ids = {}
for i = 3, #ARGV do ids[#ids + 1] = ARGV[i] end

local owned, lost = split_by_owner(lock_prefix, token, ids)
local any_attempts = redis.call("EXISTS", attempts) == 1
in_slices(owned, 1, function(first, last)
  redis.call("ZREM", claimed, unpack(owned, first, last))
  redis.call("HDEL", messages, unpack(owned, first, last))
  if any_attempts then redis.call("HDEL", attempts, unpack(owned, first, last)) end
end)
unlock(lock_prefix, owned)
return lost
