#!lua flags=no-writes
-- audit-keys: tell what is wrong with single keys of a shard at this moment.
--
-- KEYS[1..16] and ARGV[1..5]: see lib/audit.lua
-- ARGV[6..]                 four per key:
--            part  its name in ShardKeys without Prefix, or "lane"
--            name  what is behind its prefix
--            key
--            type  it must have, as TYPE tells it
--
-- Returns  {kind, name, detail, ...}, three per finding; nothing for keys that have gone meanwhile
-- Writes   nothing
-- Cost     O(log S) per key, S = scheduled messages
--@include lib/audit.lua

local reply = {}
local function add(kind, about, detail)
  local at = #reply
  reply[at + 1], reply[at + 2], reply[at + 3] = kind, about, detail
end

local checks = {
  lock = check_lock,
  seen = check_seen,
  call = check_call,
  claims = check_claims,
  lane = function(lane) if is_indexed(lane) then check_lane(lane, add) end end,
  stream = check_stream,
}
for i = 6, #ARGV, 4 do
  local part, name, key, wanted = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local found = redis.call("TYPE", key).ok
  if found ~= "none" and found ~= wanted then
    add("wrong-type", key, "a " .. found .. ", not a " .. wanted)
  elseif found ~= "none" and checks[part] then
    checks[part](name, add)
  end
end
return reply
