#!lua flags=no-writes
-- dead-groups: groups the dead letters of a part of their index by what they have in common.
--
-- KEYS[1..6] and ARGV[1..12]: see lib/matches.lua
-- ARGV[13] by           "reason", "destination" or "tag": a message is in a group for each of its tags
--
-- Returns  {seen_score, seen_id, looked_at, key, count, first, last, sample, ...}: where it ended, "" and "" when
--          nothing is left behind it; how many dead letters it has looked at; and for each group, in no order, its key
--          ("console" for the main due set), how many are in it, the least and the greatest score, and the ids of the
--          first three that were met, separated by line breaks
-- Writes   nothing
-- Cost     O(limit + log n (log n)), n = dead letters
--@include lib/matches.lua

local by = ARGV[13]
local MOST_SAMPLES = 3

local groups, keys = {}, {}

local function add(key, id, score)
  local group = groups[key]
  if not group then
    group = { count = 0, first = score, last = score, sample = {} }
    groups[key] = group
    keys[#keys + 1] = key
  end
  group.count = group.count + 1
  if tonumber(score) < tonumber(group.first) then group.first = score end
  if tonumber(score) > tonumber(group.last) then group.last = score end
  if #group.sample < MOST_SAMPLES then group.sample[#group.sample + 1] = id end
end

local reply = { "", "", 0 }
reply[1], reply[2], reply[3] = each_match(by ~= "reason", function(id, score, record)
  if by == "reason" then
    add(reason_of(id), id, score)
  elseif by == "destination" then
    add(lane_name(options_in(record)), id, score)
  else
    local options = options_in(record)
    for _, tag in ipairs(options and options.t or {}) do add(tag, id, score) end
  end
end)
for _, key in ipairs(keys) do
  local group = groups[key]
  for _, value in ipairs({ key, group.count, group.first, group.last, table.concat(group.sample, "\n") }) do
    reply[#reply + 1] = value
  end
end
return reply
