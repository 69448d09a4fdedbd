--@include lib/batch.lua
--@include lib/wake.lua
-- A lane is a due set of its own for a destination that can hold back its messages: they do not delay other messages.
--   ""              the main due set: the console
--   "stream"        streams, which accept all due messages immediately
--   "pull:<queue>"  a queue that workers pull from
--   "<type>:<name>" destinations that servers deliver to one by one, such as "webhook:<scheme>://<host>[:<port>]"
--   "paused"        messages of all lanes that are set aside while one of their tags is paused
--
-- due = { scheduled, laned, hosts, queues }: the main due set; the index of all messages in lanes of hosts and queues
-- and of those set aside, by due time; and two indexes of the lanes that hold messages, by the due time of their first.

-- json_destination(text): the fields of a destination in the older form, which has no lane; {} if it is unreadable.
local function json_destination(text)
  local readable, target = pcall(cjson.decode, text)
  return readable and type(target) == "table" and type(target.type) == "string" and target or {}
end

-- lane_of_json(text): the lane of such a destination. For a webhook it is the beginning of its URL in lower case.
local function lane_of_json(text)
  local target = json_destination(text)
  local url = target.type == "webhook" and target.url
  local origin = type(url) == "string" and string.match(url, '^%a+://[^/?#"\\]+')
  if origin then return "webhook:" .. string.lower(origin) end
  if target.type == "pull" and type(target.queue) == "string" then return "pull:" .. target.queue end
  return target.type == "stream" and "stream" or ""
end

-- lane_of(options): a message's lane. A destination is stored as "<lane>", or "<lane> <rest>".
local function lane_of(options)
  local text = options and options.d
  if not text then return "" end
  if string.byte(text) == 123 then return lane_of_json(text) end
  return string.match(text, "^%l[%w_]*:%S*") or string.match(text, "^stream ") and "stream" or ""
end

local function due_set(due, lane)
  return lane == "" and due.scheduled or due.scheduled .. ":" .. lane
end

-- is_indexed(lane): whether it is a lane of a host or a queue, whose messages are in the index too.
local function is_indexed(lane)
  return lane ~= "" and lane ~= "stream" and lane ~= "paused"
end

-- index_of(due, lane): the index of lanes that has an indexed lane.
local function index_of(due, lane)
  return string.sub(lane, 1, 5) == "pull:" and due.queues or due.hosts
end

-- index_lane(due, lane): updates the index of lanes after a change of the lane's due set.
local function index_lane(due, lane)
  if not is_indexed(lane) then return end
  local index, head = index_of(due, lane), head_due(due_set(due, lane))
  if head then redis.call("ZADD", index, head, lane) else redis.call("ZREM", index, lane) end
end

-- set_aside(due, lane, members): sets aside messages that were just removed from their lane. members: scores and ids in
-- turn.
local function set_aside(due, lane, members)
  in_slices(members, 2, function(first, last)
    redis.call("ZADD", due_set(due, "paused"), unpack(members, first, last))
    if not is_indexed(lane) then redis.call("ZADD", due.laned, unpack(members, first, last)) end
  end)
  index_lane(due, lane)
end

-- take_back(due, lane, id): removes a message that is set aside. Returns whether it was.
local function take_back(due, lane, id)
  if redis.call("ZREM", due_set(due, "paused"), id) == 0 then return false end
  if not is_indexed(lane) then redis.call("ZREM", due.laned, id) end
  return true
end

-- dequeue(due, lane, id): removes a message from the schedule. Returns whether it was in that lane, or set aside.
local function dequeue(due, lane, id)
  local removed = redis.call("ZREM", due_set(due, lane), id) == 1
  if is_indexed(lane) then
    redis.call("ZREM", due.laned, id)
    index_lane(due, lane)
  end
  return removed or take_back(due, lane, id)
end

-- collect(places, lane, id, due_at): notes a message for read_heads and enqueue.
local function collect(places, lane, id, due_at)
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

-- read_heads(due, places, now): reads when the first message of each lane is due, and each key that enqueue
-- writes: a key of the wrong type fails before the first write.
-- Returns "<ms>:<lane>" of the earliest message that will be first in its lane, "" if there is none. Queues are left
-- out: no server waits for them.
local function read_heads(due, places, now)
  local head_in, head_lane, looked_at = nil, "", {}
  for lane, place in pairs(places) do
    place.head_before = head_due(due_set(due, lane)) or false
    local index = is_indexed(lane) and index_of(due, lane)
    if index and not looked_at[index] then
      looked_at[index] = true
      head_due(index)
      head_due(due.laned)
    end
    if index ~= due.queues and not (place.head_before and place.head_before <= place.earliest) then
      local in_ms = math.max(0, place.earliest - now)
      if not head_in or in_ms < head_in then head_in, head_lane = in_ms, lane end
    end
  end
  return head_in and string.format("%.0f:%s", head_in, head_lane) or ""
end

-- enqueue(due, places, channel, shard, now, moves): adds messages to the schedule or, if moves is true, moves them
-- within their lane. Wakes sleeping servers for each lane with a new first message. Call read_heads before.
local function enqueue(due, places, channel, shard, now, moves)
  local laned, heads
  for lane, place in pairs(places) do
    local set, members = due_set(due, lane), place.members
    in_slices(members, 2, function(first, last)
      redis.call("ZADD", set, unpack(members, first, last))
    end)
    if is_indexed(lane) then
      laned = laned or {}
      heads = heads or { [due.laned] = laned, [due.hosts] = {}, [due.queues] = {} }
      for i = 1, #members do laned[#laned + 1] = members[i] end
      local head = moves and head_due(set) or place.earliest
      if moves or not place.head_before or head < place.head_before then
        local of_index = heads[index_of(due, lane)]
        of_index[#of_index + 1], of_index[#of_index + 2] = head, lane
      end
    end
  end
  for index, members in pairs(heads or {}) do
    in_slices(members, 2, function(first, last)
      redis.call("ZADD", index, unpack(members, first, last))
    end)
  end
  for lane, place in pairs(places) do
    wake_claimers(channel, shard, lane, place.head_before, place.earliest, now)
  end
end

-- enqueue_all: both of them. Returns the same as read_heads.
local function enqueue_all(due, places, channel, shard, now, moves)
  local head = read_heads(due, places, now)
  enqueue(due, places, channel, shard, now, moves)
  return head
end
