#!lua flags=no-writes
-- look: what is still to be done in a shard at this time by the test clock, and when something happens next.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms); the main due set, of which lanes are suffixes
-- KEYS[2]  claimed    zset  message id -> lock end (epoch ms)
-- KEYS[3]  laned      zset  message id in a lane -> due time (epoch ms)
-- KEYS[4]  hosts      zset  lane of a webhook host -> due time of its first message
-- KEYS[5]  queues     zset  lane of a pull queue -> due time of its first message
-- KEYS[6]  pauses     hash  what is paused, see lib/pauses.lua
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  lock_prefix      string   lock key = lock_prefix .. id, in the shard's slot
-- ARGV[3..] server          string   id of a live server, with which the tokens of its claims begin
--
-- Returns  {due, in_flight, for_pull, next_at, next_due, next_lanes, pending, next_message}
--            due         more than 0 while something is due that servers claim, or a claim has expired
--            in_flight   messages that live servers are delivering
--            for_pull    queues with due messages, and messages that workers have leased
--            next_at     when the next message is due or the next claim expires, epoch ms; "" for never
--            next_due    messages that are due then
--            next_lanes  where, comma-separated: "console", "stream" and "lane"
--            pending     messages that are scheduled or claimed
--            next_message  when the next message is due, epoch ms; "" for never
-- Writes   nothing
-- Cost     O(log S + c), S = scheduled messages, c = claims
--@include lib/batch.lua
--@include lib/clock.lua
--@include lib/pauses.lua

local scheduled, claimed, laned, hosts, queues = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local for_streams = scheduled .. ":stream"
local now, lock_prefix = redis_now(ARGV[1]), ARGV[2]
local now_digits = digits(now)
local due = { scheduled = scheduled, laned = laned, hosts = hosts, queues = queues }
local pauses = read_pauses(KEYS[6], now)
local is_alive = {}
for i = 3, #ARGV do is_alive[ARGV[i]] = true end

local function count_due(set)
  return redis.call("ZCOUNT", set, "-inf", now_digits)
end

-- is_due(head): 1 if a message that is not held is due, else 0.
local function is_due(head)
  return head and head <= now and 1 or 0
end

local locks = redis.call("ZRANGE", claimed, 0, -1)
for i = 1, #locks do locks[i] = lock_prefix .. locks[i] end
local in_flight, leased = 0, 0
in_slices(locks, 1, function(first, last)
  for _, token in ipairs(redis.call("MGET", unpack(locks, first, last))) do
    local server = token and string.match(token, "^(.-):")
    if server and is_alive[server] then in_flight = in_flight + 1 end
    if token and not server then leased = leased + 1 end
  end
end)

local next_at, next_message, next_due, lanes = nil, nil, 0, {}
local places = { { scheduled, "console" }, { for_streams, "stream" }, { laned, "lane" }, { claimed, "console" } }
for _, place in ipairs(places) do
  local set, lane = place[1], place[2]
  local head = tonumber(redis.call("ZRANGE", set, "(" .. now_digits, "+inf", "BYSCORE", "LIMIT", 0, 1, "WITHSCORES")[2])
  if head and (not next_at or head < next_at) then next_at, next_due, lanes = head, 0, {} end
  if head and set ~= claimed then next_message = math.min(next_message or head, head) end
  if head and head == next_at then
    lanes[#lanes + 1] = lane
    local at = digits(head)
    if set ~= claimed then next_due = next_due + redis.call("ZCOUNT", set, at, at) end
  end
end

-- What a pause has held falls due when it ends.
local ends_at = pauses and pauses.next_end
if ends_at and (not next_at or ends_at <= next_at) then
  if ends_at ~= next_at then next_at, next_due = ends_at, 0 end
  lanes = { "console", "stream", "lane" }
end

local waiting = redis.call("ZCARD", scheduled) + redis.call("ZCARD", for_streams) + redis.call("ZCARD", laned) +
  redis.call("ZCARD", due_set(due, "paused"))
return {
  is_due(next_due_in(due, pauses, "")) + is_due(next_due_in(due, pauses, "stream")) +
    is_due(next_due_of(pauses, hosts)) + count_due(claimed) + (pauses and #pauses.ended or 0),
  in_flight,
  count_due(queues) + leased,
  next_at and digits(next_at) or "",
  next_due,
  table.concat(lanes, ","),
  waiting + #locks,
  next_message and digits(next_message) or "",
}
