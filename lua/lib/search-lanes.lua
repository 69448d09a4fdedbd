--@include lib/lanes.lua
-- dequeue_anywhere(due, id): removes a message from the schedule that is not where its record says, because another
-- program changed keys: searches every lane. A rest would make a new message of this id due too early. Returns how many
-- lanes there are.
local function dequeue_anywhere(due, id)
  for _, lane in ipairs({ "", "stream", "paused" }) do redis.call("ZREM", due_set(due, lane), id) end
  redis.call("ZREM", due.laned, id)
  local count = 0
  for _, index in ipairs({ due.hosts, due.queues }) do
    local lanes = redis.call("ZRANGE", index, 0, -1)
    count = count + #lanes
    for _, lane in ipairs(lanes) do
      if redis.call("ZREM", due_set(due, lane), id) == 1 then index_lane(due, lane) end
    end
  end
  return count
end
