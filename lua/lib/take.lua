--@include lib/pauses.lua
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

-- is_paused(pauses, id, record, due_at): whether a tag holds a message. A message that was let pass is taken once.
local function is_paused(pauses, id, record, due_at)
  local OF_INTEREST = { "t" }
  local options = record and options_with(record, OF_INTEREST)
  if not options or tags_held_through(pauses, options) < tonumber(due_at) then return false end
  if pauses.pass_of[id] ~= due_at then return true end
  redis.call("HDEL", pauses.key, "pass:" .. id)
  return false
end

-- note_taken(state, lane, found): notes the messages that are taken off a lane, except those to be set aside. found:
-- ids and due times in turn. Returns how many it looked at, and due times and ids of those to be set aside.
local function note_taken(state, lane, found)
  local ids, due_at, records, lanes = state.ids, state.due_at, state.records, state.lanes
  local tags_pause = state.pauses and state.pauses.has_tags
  local looked_at, aside = 0, {}
  for first = 1, #found, 2 * READ_AT_ONCE do
    if has_enough(state) then break end
    local slice = {}
    local taken = tags_pause and {} or slice
    for i = first, math.min(first + 2 * READ_AT_ONCE - 1, #found), 2 do slice[#slice + 1] = found[i] end
    local values = redis.call("HMGET", state.messages, unpack(slice))
    for i = 1, #slice do
      local id, score, record, at = slice[i], found[first + 2 * i - 1], values[i], #ids + 1
      if tags_pause and is_paused(state.pauses, id, record, score) then
        aside[#aside + 1], aside[#aside + 2] = score, id
        state.work = state.work + 1
      else
        ids[at], due_at[at], records[at], lanes[at] = id, score, record, lane
        if tags_pause then taken[#taken + 1] = id end
        state.bytes = state.bytes + (record and #record or 0)
        state.work = state.work + work_of_taken(lane, record)
      end
    end
    if is_indexed(lane) and #taken > 0 then redis.call("ZREM", state.due.laned, unpack(taken)) end
    looked_at = looked_at + #slice
  end
  return looked_at, aside
end

-- take_passes(state, lane, most): takes up to most messages of a paused lane that were let pass.
local function take_passes(state, lane, most)
  local pauses, set, found = state.pauses, due_set(state.due, lane), {}
  for _, id in ipairs(pauses.passes[lane] or {}) do
    local score = redis.call("ZSCORE", set, id)
    local is_due = score and score == pauses.pass_of[id]
    if not is_due then redis.call("HDEL", pauses.key, "pass:" .. id) end
    if is_due and #found < 2 * most and tonumber(score) <= held_through(pauses, lane) then
      found[#found + 1], found[#found + 2] = id, score
    end
  end
  for i = 1, 2 * note_taken(state, lane, found), 2 do
    redis.call("ZREM", set, found[i])
    redis.call("HDEL", pauses.key, "pass:" .. found[i])
  end
end

-- take(state, lane, most): takes up to most due messages off a lane, none that is paused. Returns how many.
local function take(state, lane, most)
  local set, before, pauses = due_set(state.due, lane), #state.ids, state.pauses
  local through = held_through(pauses, lane)
  if through > 0 and pauses.passes[lane] then take_passes(state, lane, most) end
  local from = through > 0 and "(" .. digits(through) or "-inf"
  while through < HELD do
    local left = most - (#state.ids - before)
    local found = redis.call("ZRANGE", set, from, state.now, "BYSCORE", "LIMIT", 0, left, "WITHSCORES")
    local looked_at, aside = note_taken(state, lane, found)
    if looked_at > 0 then
      -- Due messages are first in the set: removing by rank is cheaper than naming n members.
      local first = through > 0 and redis.call("ZCOUNT", set, "-inf", digits(through)) or 0
      redis.call("ZREMRANGEBYRANK", set, first, first + looked_at - 1)
    end
    if #aside == 0 then break end
    set_aside(state.due, lane, aside)
  end
  return #state.ids - before
end
