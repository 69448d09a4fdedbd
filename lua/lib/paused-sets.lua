--@include lib/lanes.lua
-- sets_of_pause(due, tag_prefix, field): the sets that list what a pause holds, each by due time.
local function sets_of_pause(due, tag_prefix, field)
  if field == "all" then return { due.scheduled, due_set(due, "stream"), due.laned } end
  local scope, name = string.match(field, "^(%l+):(.*)$")
  return { scope == "tag" and tag_prefix .. name or due_set(due, name) }
end

-- is_set(key): whether it is a sorted set: another program may have put something else under a tag's key.
local function is_set(key)
  local count = redis.pcall("ZCARD", key)
  return type(count) == "number" and count > 0
end
