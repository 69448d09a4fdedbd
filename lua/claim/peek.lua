#!lua flags=no-writes
-- peek: tell pull workers that wait when the next message of their queue is due.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms); the main due set, of which lanes are suffixes
-- KEYS[2]  claimed    zset  message id -> lock end (epoch ms)
-- KEYS[3]  pauses     hash  what is paused, see lib/pauses.lua
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2..] lane            string   lanes of queues
--
-- Returns  {expiry_in, next_in, ...}
--            expiry_in  ms until the next claim expires unless it is extended, 0 if one has; "" when there is none
--            next_in    for each lane, in order: ms until its next message is due, or until a pause ends; 0 if one is
--                       due, or while something is resumed; "" for none
-- Writes   nothing
-- Cost     O(l log S), l = lanes
--@include lib/clock.lua
--@include lib/pauses.lua
--@include lib/wake.lua

local scheduled, claimed = KEYS[1], KEYS[2]
local now = redis_now(ARGV[1])

local function wait_of(head)
  return head and math.max(0, head - now) or ""
end

local due, pauses = { scheduled = scheduled }, read_pauses(KEYS[3], now)
local reply = { wait_of(head_due(claimed)) }
for i = 2, #ARGV do reply[i] = wait_of(look_again_at(pauses, next_due_in(due, pauses, ARGV[i]), now)) end
return reply
