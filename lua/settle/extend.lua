#!lua flags=allow-oom
-- extend: extend claims whose lock still holds their token.
--
-- KEYS[1]  claimed    zset    message id -> lock end (epoch ms)
-- KEYS[2]  clock      string  the latest time at which there was a claim, see lib/clock-step.lua
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  lock_prefix      string   lock key = lock_prefix .. id, in the shard's slot
-- ARGV[3]  lock_ms          integer  how long the locks last, from now
-- ARGV[4..]                 two per message:
--            id     each once
--            token  the token that claim was called with
--
-- Returns  the ids whose lock does not hold this token; empty if all were extended
-- Writes   only for owned ids; claims are set back first if the clock was
-- Cost     O(n log C), n = ids, C = claims in flight
--@include lib/clock-step.lua
--@include lib/clock.lua
--@include lib/lock.lua

local claimed = KEYS[1]
local now = redis_now(ARGV[1])
local lock_prefix, lock_ms = ARGV[2], tonumber(ARGV[3])
local clock = { mark = KEYS[2], claimed = claimed, lock_prefix = lock_prefix }
local marked, set_back_ms = check_clock(clock, now)
local ids, tokens = {}, {}
for i = 4, #ARGV, 2 do
  ids[#ids + 1] = ARGV[i]
  tokens[#tokens + 1] = ARGV[i + 1]
end

local owned, lost = split_by_owner(lock_prefix, ids, tokens)
local members = {}
for i = 1, #owned do
  local id = ids[owned[i]]
  redis.call("PEXPIRE", lock_prefix .. id, px_of(lock_ms))
  members[#members + 1] = now + lock_ms
  members[#members + 1] = id
end
in_slices(members, 2, function(first, last)
  redis.call("ZADD", claimed, "XX", unpack(members, first, last))
end)
if #owned > 0 then mark_clock(clock, now, marked, set_back_ms) end
for i = 1, #lost do lost[i] = ids[lost[i]] end
return lost
