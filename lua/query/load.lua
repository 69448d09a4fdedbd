#!lua flags=no-writes
-- load: how many messages are due, and how many fall due soon.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms)
-- KEYS[2]  laned      zset  message id in a lane -> due time (epoch ms)
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
--
-- Returns  {now, overdue, oldest_ms, soon, count, ...}: Redis's clock; how many are due, and for how many ms the first
--          has been; how many fall due within five minutes; and how many in each of the next 60 seconds, none of these
--          counts if nothing falls due within five minutes
-- Writes   nothing
-- Cost     O(log S), S = scheduled messages: 6 counts, and at most 60 for each of the 3 sets
--@include lib/clock.lua
--@include lib/wake.lua

local SECONDS, SOON_MS = 60, 300000
local sets = { KEYS[1], KEYS[1] .. ":stream", KEYS[2] }
local now = redis_now(ARGV[1])

-- between(set, from, to): how many are due after the one and no later than the other; from "-inf" for no bound.
local function between(set, from, to)
  return redis.call("ZCOUNT", set, from == "-inf" and from or string.format("(%.0f", from), string.format("%.0f", to))
end

local reply = { now, 0, 0, 0 }
for _, set in ipairs(sets) do
  local soon = between(set, now, now + SOON_MS)
  local head = head_due(set)
  reply[2] = reply[2] + between(set, "-inf", now)
  reply[3] = math.max(reply[3], head and now - head or 0)
  reply[4] = reply[4] + soon
  if soon > 0 then
    for second = 1, SECONDS do
      local at = now + 1000 * (second - 1)
      reply[4 + second] = (reply[4 + second] or 0) + between(set, at, at + 1000)
    end
  end
end
return reply
