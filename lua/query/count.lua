#!lua flags=no-writes
-- count: how many messages are in each state, and for how long the earliest has been overdue.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms); the main due set, of which lanes are suffixes
-- KEYS[2]  claimed    zset  message id -> lock end (epoch ms)
-- KEYS[3]  dead       zset  message id -> became a dead letter at (epoch ms)
-- KEYS[4]  laned      zset  message id in a lane -> due time (epoch ms)
-- KEYS[5]  hosts      zset  lane of a webhook host -> due time of its first message
-- KEYS[6]  messages   hash  message id -> record
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock in tests; 0 in production
-- ARGV[2..] full_lane       string   lane of a host that is full
--
-- Returns  {scheduled, claimed, dead, stranded, overdue, late}: four counts, stranded being the records beyond those of
--          the other three; for how many ms the first message has been overdue; and the same without messages that only
--          wait for a pull worker or for a slot of their host
-- Writes   nothing
-- Cost     O(f), f = full lanes
--@include lib/clock.lua
--@include lib/wake.lua

local scheduled, claimed, dead, laned, hosts = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local for_streams = scheduled .. ":stream"
local now = redis_now(tonumber(ARGV[1]))
local full = {}
for i = 2, #ARGV do full[ARGV[i]] = true end

local function overdue_ms(head)
  return head and math.max(0, now - head) or 0
end

-- open_host_due(): the earliest due time of a message of a host that is not full.
local function open_host_due()
  -- One more lane than are full: one of them is not full.
  local heads = redis.call("ZRANGE", hosts, 0, #ARGV - 1, "WITHSCORES")
  for i = 1, #heads, 2 do
    if not full[heads[i]] then return tonumber(heads[i + 1]) end
  end
end

local unheld = math.max(overdue_ms(head_due(scheduled)), overdue_ms(head_due(for_streams)))
local waiting = redis.call("ZCARD", scheduled) + redis.call("ZCARD", for_streams) + redis.call("ZCARD", laned)
local claims, dead_letters = redis.call("ZCARD", claimed), redis.call("ZCARD", dead)
return {
  waiting,
  claims,
  dead_letters,
  math.max(0, redis.call("HLEN", KEYS[6]) - waiting - claims - dead_letters),
  math.max(unheld, overdue_ms(head_due(laned))),
  math.max(unheld, overdue_ms(open_host_due())),
}
