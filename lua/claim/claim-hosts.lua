#!lua flags=allow-oom
-- claim-hosts: take due messages off the lanes of webhook hosts, each as far as there are slots for it; lock each, and
-- return those this call locked.
--
-- KEYS[1..15] and ARGV[1..14]: see lib/claim-state.lua
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
-- Returns  {<the first eight>, held_back, id, due, record, attempts, lane, ...}: see lib/lock-taken.lua; and
--            next_in      ms until the next message is due for which there is a slot, 0 if one is; "" for none
--            held_back    1 when something is due that there is no slot for, else 0
--            lane         the lane it was taken from
-- Writes   locks and claimed entries for what it returns; expired claims of the shard go back to their lanes; publishes
--          "help <shard>" when it leaves some of what is due, so that other servers come.
-- Cost     O((n + r + l) log S), n = claimed now, r = recovered (500 at most), l = full lanes
--@include lib/claim-state.lua
--@include lib/lock-taken.lua
--@include lib/recover.lua
--@include lib/take.lua

local state = claim_state(9)
local slots, host_slots, reserve = tonumber(ARGV[15]), tonumber(ARGV[16]), tonumber(ARGV[17])
local now, hosts, pauses = state.now, state.due.hosts, state.pauses
-- free[lane]: how many may still be taken from a lane, for the named lanes and those that were taken from.
local free = {}
for i = 18, #ARGV, 2 do free[ARGV[i]] = tonumber(ARGV[i + 1]) end

local function is_held(lane, head)
  return head <= held_through(pauses, lane)
end

-- is_alone(): whether at most one host has messages in flight or due: it may have all slots.
local function is_alone()
  local most = 2 + (pauses and pauses.lane_count or 0)
  local heads = redis.call("ZRANGE", hosts, "-inf", now, "BYSCORE", "LIMIT", 0, most, "WITHSCORES")
  local first, others = nil, 0
  for i = 1, #heads, 2 do
    if not is_held(heads[i], tonumber(heads[i + 1])) then
      first, others = first or heads[i], others + 1
    end
  end
  for lane in pairs(free) do
    if lane ~= first then others = others + 1 end
  end
  return others <= 1
end

-- room_of(lane): how many may be taken from it. A host with many slots does not get the last ones: otherwise a host
-- that hangs would soon have all of them, and other hosts would wait for its time-outs. (Dynamic thresholds, as in the
-- shared buffers of a network switch.)
local function room_of(lane)
  local left = free[lane] or host_slots
  local of_reserve = math.ceil((slots - (host_slots - left)) / 2)
  return math.max(0, math.min(left, slots, math.max(slots - reserve, of_reserve)))
end

-- each_host(visit): calls visit(lane, head) for lanes by the due time of their first message, until it returns true.
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

-- each_pass(visit): the same for the lanes of messages that are delivered although all is paused.
local function each_pass(visit)
  for lane in pairs(pauses.passes) do
    if is_indexed(lane) and index_of(state.due, lane) == hosts then visit(lane, 0) end
  end
end

local touched, LANE_WORK = {}, 0.1
local function take_of(lane, head)
  if head > now or slots <= 0 or has_enough(state) then return true end
  local most = room_of(lane)
  if most == 0 then return false end
  local count = take(state, lane, most)
  if count == 0 then
    -- It is held. Such lanes are many where everything is resumed.
    state.work = state.work + LANE_WORK
    return false
  end
  free[lane] = (free[lane] or host_slots) - count
  slots = slots - count
  touched[#touched + 1] = lane
end

-- A due message of a host without a slot waits for a slot, and not for a time.
local next_due, held_back = nil, 0
local function look_at(lane, head)
  if is_held(lane, head) then return false end
  if head > now or room_of(lane) > 0 then
    next_due = head
    return true
  end
  held_back = 1
  -- Without any free slot, only the first lane that is not due yet matters.
  if slots > 0 then return false end
  local first = redis.call("ZRANGE", hosts, "(" .. digits(now), "+inf", "BYSCORE", "LIMIT", 0, 1, "WITHSCORES")
  next_due = tonumber(first[2])
  return true
end

recover(state)
if redis.call("EXISTS", hosts) == 1 then
  if is_alone() then reserve = 0 end
  local is_all_held = pauses and pauses.all == HELD
  if is_all_held then each_pass(take_of) else each_host(take_of) end
  for _, lane in ipairs(touched) do index_lane(state.due, lane) end
  if not is_all_held then each_host(look_at) end
end
lock_taken(state, true)
state.reply[9] = held_back
return answer(state, next_due, true)
