--@include lib/lanes.lua
--@include lib/record.lua
-- The pauses that a shard knows: its copy of the list of all servers, a hash, absent while nothing is paused.
--   all, lane:<lane>, tag:<tag>   what is paused: "paused <until>", until as epoch ms or 0 for no end; or, while it is
--                                 resumed step by step, "resuming <at> <over_ms> <skip_before> <phase>"
--   at:<one of these>             how far that has come, see lib/resume.lua
--   done:<one of these>           "<at>": this shard has finished it
--   sweep                         how far those set aside have been looked through for those whose pause has ended
--   pass:<id>                     "<due> <lane>": this message is delivered although it is paused
--   revision                      of the list that was copied
-- A message is held while it is due at a time up to which one of its pauses holds: HELD for any time, 0 for none. While
-- a pause is resumed it holds up to the time at which that began, so that what gets a later time is free.
local HELD = math.huge

-- is_pause(scope): whether a field that begins so says what is paused.
local function is_pause(scope)
  return scope == "all" or scope == "lane" or scope == "tag"
end

-- read_pause(pauses, field, value, now): until when what the field names is held.
local function read_pause(pauses, field, value, now)
  local till = string.match(value, "^paused (%d+)$")
  if till then
    till = tonumber(till)
    if till == 0 then return HELD end
    if till <= now then
      pauses.ended[#pauses.ended + 1] = field
      return 0
    end
    pauses.next_end = math.min(pauses.next_end or till, till)
    return HELD
  end
  local at, over_ms, skip_before, phase = string.match(value, "^resuming (%d+) (%d+) (%d+) ([%d.]+)$")
  if not at then return HELD end
  pauses.resuming[#pauses.resuming + 1] = { field = field, at = tonumber(at), over_ms = tonumber(over_ms),
    skip_before = tonumber(skip_before), phase = tonumber(phase) }
  return tonumber(at)
end

-- read_pauses(key, now): nil while nothing is paused, else
--   all, lanes, tags   up to which time each holds; lane_count, and has_tags
--   next_end           when the first of them ends by itself, nil for none
--   ended              fields of those that have ended by themselves
--   resuming, sweep    what is left to be resumed; progress of each
--   passes, pass_of    what is delivered although it is paused: by lane {id, ...}, and by id its due time
local function read_pauses(key, now)
  local fields = redis.call("HGETALL", key)
  if #fields == 0 then return nil end
  local pauses = {
    key = key, all = 0, lanes = {}, tags = {}, lane_count = 0, has_tags = false,
    ended = {}, resuming = {}, progress = {}, passes = {}, pass_of = {},
  }
  local is_used = false
  for i = 1, #fields, 2 do
    local field, value = fields[i], fields[i + 1]
    local scope, name = string.match(field, "^(%l+):?(.*)$")
    if is_pause(scope) then
      local through = read_pause(pauses, field, value, now)
      if scope == "all" then pauses.all = through end
      if scope == "lane" then
        pauses.lanes[name] = through
        pauses.lane_count = pauses.lane_count + 1
      end
      if scope == "tag" and through > 0 then
        pauses.tags[name] = through
        pauses.has_tags = true
      end
      is_used = true
    elseif scope == "at" then
      pauses.progress[name] = value
    elseif scope == "sweep" then
      pauses.sweep, is_used = value, true
    elseif scope == "pass" then
      local due_at, lane = string.match(value, "^(%d+) (.*)$")
      local of_lane = pauses.passes[lane] or {}
      of_lane[#of_lane + 1] = name
      pauses.passes[lane], pauses.pass_of[name] = of_lane, due_at
    end
  end
  pauses.is_resuming = #pauses.ended > 0 or #pauses.resuming > 0 or pauses.sweep ~= nil
  return is_used and pauses or nil
end

-- held_through(pauses, lane): up to which due time the messages of a lane are held.
local function held_through(pauses, lane)
  return pauses and math.max(pauses.all, pauses.lanes[lane] or 0) or 0
end

-- tags_held_through(pauses, options): up to which due time a message is held because of its tags.
local function tags_held_through(pauses, options)
  local through = 0
  for _, tag in ipairs(options and options.t or {}) do through = math.max(through, pauses.tags[tag] or 0) end
  return through
end

-- next_due_in(due, pauses, lane): when the first message of a lane is due that is not held, nil for none.
local function next_due_in(due, pauses, lane)
  local through = held_through(pauses, lane)
  if through == 0 then return head_due(due_set(due, lane)) end
  if through == HELD then return nil end
  return tonumber(redis.call("ZRANGE", due_set(due, lane), "(" .. digits(through), "+inf", "BYSCORE", "LIMIT", 0, 1,
    "WITHSCORES")[2])
end

-- next_due_of(pauses, index): the same of the lanes in an index, of which those that are held are left out.
local function next_due_of(pauses, index)
  if not pauses then return head_due(index) end
  local heads = redis.call("ZRANGE", index, 0, pauses.lane_count, "WITHSCORES")
  for i = 1, #heads, 2 do
    local head = tonumber(heads[i + 1])
    if head > held_through(pauses, heads[i]) then return head end
  end
end

-- look_again_at(pauses, head, now): when a claimer is to look again: when the next message is due, when the first pause
-- ends, and at once while something is resumed.
local function look_again_at(pauses, head, now)
  if not pauses then return head end
  if pauses.is_resuming then return now end
  return pauses.next_end and math.min(head or pauses.next_end, pauses.next_end) or head
end
