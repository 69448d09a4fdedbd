-- A destination that can hold its messages back has a lane: a due set of its own, so that what waits there stands in
-- nobody's way. Needs lib/batch.lua and lib/wake.lua.
--   ""                                     the main due set: the console
--   "stream"                               streams, which take at once whatever is due
--   "webhook:<scheme>://<host>[:<port>]"   a host that webhooks go to
--   "pull:<queue>"                         a queue that workers pull from
--
-- due = { scheduled, laned, hosts, queues }: the main due set, the index of all messages of hosts and queues by due time,
-- and for each of the two an index of the lanes that hold messages, by the due time of their first.

-- lane_of(options): a message's lane. A destination is stored as JSON with its fields in a fixed order.
local function lane_of(options)
  local target = options and options.d
  if not target then return "" end
  local host = string.match(target, '^{"type":"webhook","url":"(%a+://[^/?#"\\]+)')
  if host then return "webhook:" .. string.lower(host) end
  local queue = string.match(target, '^{"type":"pull","queue":"([^"]+)"')
  if queue then return "pull:" .. queue end
  return string.find(target, '{"type":"stream"', 1, true) == 1 and "stream" or ""
end

local function due_set(due, lane)
  return lane == "" and due.scheduled or due.scheduled .. ":" .. lane
end

-- is_indexed(lane): whether it is one of many, whose messages are therefore in the index of all of them, too.
local function is_indexed(lane)
  return lane ~= "" and lane ~= "stream"
end

-- index_lane(due, lane): sets right what the index says of a lane whose due set has changed.
local function index_lane(due, lane)
  if not is_indexed(lane) then return end
  local index = string.sub(lane, 1, 5) == "pull:" and due.queues or due.hosts
  local head = head_due(due_set(due, lane))
  if head then redis.call("ZADD", index, head, lane) else redis.call("ZREM", index, lane) end
end

-- unplace(due, lane, id): takes a message off the schedule.
local function unplace(due, lane, id)
  redis.call("ZREM", due_set(due, lane), id)
  if is_indexed(lane) then
    redis.call("ZREM", due.laned, id)
    index_lane(due, lane)
  end
end

-- gather(places, lane, id, due_at): notes a message for place_all.
local function gather(places, lane, id, due_at)
  local place = places[lane]
  if not place then
    place = { members = {} }
    places[lane] = place
  end
  place.members[#place.members + 1] = due_at
  place.members[#place.members + 1] = id
  local ms = tonumber(due_at)
  if not place.earliest or ms < place.earliest then place.earliest = ms end
end

-- place_all(due, places, channel, shard, now): puts messages on the schedule, or moves them within their lane, and
-- wakes sleeping servers for each lane that has a new first message.
-- Returns ms until the first of those, "" for none; queues, whose workers wait elsewhere, left out.
local function place_all(due, places, channel, shard, now)
  local head_in = ""
  for lane, place in pairs(places) do
    local set = due_set(due, lane)
    local head_before = head_due(set)
    in_slices(place.members, 2, function(first, last)
      redis.call("ZADD", set, unpack(place.members, first, last))
      if is_indexed(lane) then redis.call("ZADD", due.laned, unpack(place.members, first, last)) end
    end)
    index_lane(due, lane)
    local in_ms = wake_claimers(channel, shard, lane, head_before, place.earliest, now)
    if in_ms ~= "" and string.sub(lane, 1, 5) ~= "pull:" and (head_in == "" or in_ms < head_in) then
      head_in = in_ms
    end
  end
  return head_in
end
