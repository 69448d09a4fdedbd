#!lua flags=allow-oom
-- copy-pauses: have a shard know what is paused. Every script that claims there goes by the copy.
--
-- KEYS[1]  pauses     hash  what is paused, see lib/pauses.lua
-- KEYS[2]  scheduled  zset  message id -> due time (epoch ms); the main due set, of which lanes are suffixes
-- ARGV[1]  wake_channel  string   where sleeping servers listen
-- ARGV[2]  shard         integer  named in what is published
-- ARGV[3]  revision      integer  of the list; an older one than the copy's changes nothing
-- ARGV[4..]                two per pause:
--            field  "all", "lane:<lane>" or "tag:<tag>"
--            value  as lib/pauses.lua has it
--
-- Returns  the fields of which something is left to be resumed here, "sweep" among them
-- Writes   the copy; publishes "pauses <shard>" if it has changed
-- Cost     O(n), n = pauses
--@include lib/pauses.lua

local pauses, set_aside_here = KEYS[1], redis.call("EXISTS", due_set({ scheduled = KEYS[2] }, "paused")) == 1
local wake_channel, shard, revision = ARGV[1], ARGV[2], ARGV[3]
local COPY_KEPT_MS = 3600000

local before, wanted, names = {}, {}, {}
local found = redis.call("HGETALL", pauses)
for i = 1, #found, 2 do before[found[i]] = found[i + 1] end
for i = 4, #ARGV, 2 do wanted[ARGV[i]] = ARGV[i + 1] end

-- is_done(field): whether what the list still has is finished here.
local function is_done(field)
  local at = string.match(wanted[field] or "", "^resuming (%d+)")
  return at and before["done:" .. field] == at
end

local function copy()
  local after, has_any = { "revision", revision }, false
  local needs_sweep = before.sweep
  local function keep(field)
    if before[field] then after[#after + 1], after[#after + 2] = field, before[field] end
  end
  for field, value in pairs(wanted) do
    if is_done(field) then
      keep("done:" .. field)
    else
      has_any = true
      after[#after + 1], after[#after + 2] = field, value
      if before[field] == value then keep("at:" .. field) end
    end
  end
  for field in pairs(before) do
    if string.sub(field, 1, 4) == "tag:" and not wanted[field] then needs_sweep = "" end
    if string.sub(field, 1, 5) == "pass:" and has_any then keep(field) end
  end
  if needs_sweep and set_aside_here then after[#after + 1], after[#after + 2], has_any = "sweep", needs_sweep, true end
  redis.call("DEL", pauses)
  for first = 1, #after, 1000 do
    redis.call("HSET", pauses, unpack(after, first, math.min(first + 999, #after)))
  end
  if not has_any then redis.call("PEXPIRE", pauses, COPY_KEPT_MS) end
  redis.pcall("PUBLISH", wake_channel, "pauses " .. shard)
  for field, value in pairs(wanted) do
    if not is_done(field) and string.find(value, "^resuming") then names[#names + 1] = field end
  end
  if needs_sweep and set_aside_here then names[#names + 1] = "sweep" end
end

if tonumber(before.revision or 0) < tonumber(revision) then
  copy()
else
  for field, value in pairs(before) do
    if field == "sweep" or is_pause(string.match(field, "^(%l+)")) and string.find(value, "^resuming") then
      names[#names + 1] = field
    end
  end
end
return names
