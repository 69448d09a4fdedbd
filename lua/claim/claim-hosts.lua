#!lua flags=allow-oom
-- claim-hosts: take due messages off the lanes of webhook hosts, each as far as there are slots for it; lock each, and
-- return those this call locked.
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
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock in tests; 0 in production
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
-- ARGV[15] slots            integer  messages at most from all lanes together
-- ARGV[16] host_slots       integer  messages at most from each lane that is not named below
-- ARGV[17] reserve          integer  slots of which a host gets more only while it has fewer than are left, unless
--                                    it is the only one there is
-- ARGV[18..] room per lane:
--            lane  its name
--            room  messages at most from it
--
-- It returns fewer once their records pass 4 MiB, or if they are much work (lib/work.lua).
--
-- Returns  {now, next_in, expiry_in, recovered, dropped, died, trimmed, first_claim, held_back, id, due, record,
--          attempts, lane, ...}
--            now          Redis's clock, epoch ms, with a fraction; the times below are from the whole ms
--            next_in      ms until the next message is due for which there is a slot, 0 if one is; "" for none
--            expiry_in    ms until the next claim expires unless it is extended; "" when there is none
--            recovered    claims found expired and put back to due
--            dropped      messages past their not-after that were dropped
--            died         messages that became dead letters: past their not-after, or recovered too often
--            trimmed      dead letters deleted because there are too many or they are too old
--            first_claim  the claim number of the first message returned; it grows by 1 with each
--            held_back    1 when something is due that there is no slot for, else 0
--            due          when this attempt was due, epoch ms (a retry's own time)
--            attempts     "<failures> <recoveries>", "" when there was neither
--            lane         the lane it was taken from
-- Writes   locks and claimed entries for what it returns; expired claims of the shard go back to their lanes; publishes
--          "help <shard>" when it leaves some of what is due, so that other servers come.
--          A clock that was set back is heeded first.
--          A due id without a record is forgotten. One that another lock holds is parked in claimed until that lock
--          ends: never returned, never lost.
-- Cost     O((n + r + l) log S), n = claimed now, r = recovered (500 at most), l = full lanes
--@include lib/clock.lua
--@include lib/batch.lua
--@include lib/lock.lua
--@include lib/wake.lua
--@include lib/lanes.lua
--@include lib/attempts.lua
--@include lib/record.lua
--@include lib/tags.lua
--@include lib/failures.lua
--@include lib/history.lua
--@include lib/seen.lua
--@include lib/dead-letters.lua
--@include lib/clock-step.lua
--@include lib/set-back.lua
--@include lib/work.lua
--@include lib/claim-state.lua
--@include lib/recover.lua
--@include lib/take.lua
--@include lib/lock-taken.lua

local state = claim_state(9)
local slots, host_slots, reserve = tonumber(ARGV[15]), tonumber(ARGV[16]), tonumber(ARGV[17])
local now, hosts = state.now, state.due.hosts
-- free[lane]: what may still be taken of a lane, for those that are named or have been taken from.
local free = {}
for i = 18, #ARGV, 2 do free[ARGV[i]] = tonumber(ARGV[i + 1]) end

-- is_alone(): whether there is one host at most, in flight or due: it may have all slots.
local function is_alone()
  local heads = redis.call("ZRANGE", hosts, "-inf", now, "BYSCORE", "LIMIT", 0, 2)
  local others = #heads
  for lane in pairs(free) do
    if lane ~= heads[1] then others = others + 1 end
  end
  return others <= 1
end

-- room_of(lane): how many may be taken of it. A host that has many slots already does not get the last ones first: a
-- host that hangs would soon have all of them, and other hosts would wait for its time-outs. (Dynamic thresholds, as for
-- the shared buffers of a network switch.)
local function room_of(lane)
  local left = free[lane] or host_slots
  local of_reserve = math.ceil((slots - (host_slots - left)) / 2)
  return math.max(0, math.min(left, slots, math.max(slots - reserve, of_reserve)))
end

-- each_host(visit): calls visit(lane, head) for lanes, those first in which something is due soonest, until it returns
-- true.
local function each_host(visit)
  local AT_ONCE = 64
  for first = 0, math.huge, AT_ONCE do
    local page = redis.call("ZRANGE", hosts, first, first + AT_ONCE - 1, "WITHSCORES")
    for i = 1, #page, 2 do
      if visit(page[i], tonumber(page[i + 1])) then return end
    end
    if #page < 2 * AT_ONCE then return end
  end
end

local touched = {}
local function take_of(lane, head)
  if head > now or slots <= 0 or has_enough(state) then return true end
  local most = room_of(lane)
  if most == 0 then return false end
  local count = take(state, lane, most)
  free[lane] = (free[lane] or host_slots) - count
  slots = slots - count
  touched[#touched + 1] = lane
end

-- What is due for a host without a slot waits for a slot, and not for a time.
local next_due, held_back = nil, 0
local function look_at(lane, head)
  if head > now or room_of(lane) > 0 then
    next_due = head
    return true
  end
  held_back = 1
  -- Without a slot for any, none that is due needs to be looked at: only the first that is not.
  if slots > 0 then return false end
  local first = redis.call("ZRANGE", hosts, "(" .. digits(now), "+inf", "BYSCORE", "LIMIT", 0, 1, "WITHSCORES")
  next_due = tonumber(first[2])
  return true
end

recover(state)
if redis.call("EXISTS", hosts) == 1 then
  if is_alone() then reserve = 0 end
  each_host(take_of)
  for _, lane in ipairs(touched) do index_lane(state.due, lane) end
  each_host(look_at)
end
lock_taken(state, true)
state.reply[9] = held_back
return answer(state, next_due, true)
