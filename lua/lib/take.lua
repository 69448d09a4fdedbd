--@include lib/record.lua
--@include lib/work.lua
-- Takes due messages off the schedule. state: see lib/claim-state.lua

-- One reply has at most this many bytes of records, plus the few that were read together with the last.
local REPLY_BYTES, READ_AT_ONCE = 4194304, 8

-- has_enough(state): whether the call must not take more messages.
local function has_enough(state)
  return state.bytes > REPLY_BYTES or state.work >= WORK_AT_ONCE
end

-- work_of_taken(lane, record): the work for the tags of a message that may be moved into a stream, dropped or made a
-- dead letter, in units of lib/work.lua. It counts commas instead of reading JSON.
local function work_of_taken(lane, record)
  local text = record and options_text(record)
  if not text or lane ~= "stream" and not string.find(text, '"n":', 1, true) then return 0 end
  local tags = string.match(text, '"t":(%b[])')
  return tags and (1 + select(2, string.gsub(tags, ",", ","))) / 2 or 0
end

-- take(state, lane, most): takes up to most due messages off a lane. Returns how many.
local function take(state, lane, most)
  local set, ids, due_at, records, lanes = due_set(state.due, lane), state.ids, state.due_at, state.records, state.lanes
  local found = redis.call("ZRANGE", set, "-inf", state.now, "BYSCORE", "LIMIT", 0, most, "WITHSCORES")
  local before = #ids
  for first = 1, #found, 2 * READ_AT_ONCE do
    if has_enough(state) then break end
    local slice = {}
    for i = first, math.min(first + 2 * READ_AT_ONCE - 1, #found), 2 do
      slice[#slice + 1] = found[i]
      due_at[#due_at + 1] = found[i + 1]
    end
    local values = redis.call("HMGET", state.messages, unpack(slice))
    for i = 1, #slice do
      local at = #ids + 1
      ids[at], records[at], lanes[at] = slice[i], values[i], lane
      state.bytes = state.bytes + (values[i] and #values[i] or 0)
      state.work = state.work + work_of_taken(lane, values[i])
    end
    if is_indexed(lane) then redis.call("ZREM", state.due.laned, unpack(slice)) end
  end
  local count = #ids - before
  -- Due messages are first in the set: removing by rank is cheaper than naming n members.
  if count > 0 then redis.call("ZREMRANGEBYRANK", set, 0, count - 1) end
  return count
end
