#!lua flags=allow-oom
-- pauses: read the list of all that is paused, and change it. What has ended by itself is deleted first.
--
-- KEYS[1]  all_pauses  hash  target -> JSON, "until" being the end in epoch ms, where it has one; revision -> a number
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  act       "read", "set" or "delete"
-- ARGV[3]  target    string   "" to read
-- ARGV[4]  text      string   JSON to set; else ""
-- ARGV[5]  expected  string   only if this is there now; "" for anything
-- ARGV[6]  most      integer  pauses at the same time
--
-- Returns  {word, now, revision, target, text, ...}: Redis's clock, the revision, which grows with each change, and all
--          pauses after the act. word is "read"; "created", "replaced"; "deleted"; "unknown": there is none; "changed":
--          something else is there; "past": it would have ended already; "full": there are as many as there may be
-- Writes   only for "created", "replaced" and "deleted", and what has ended
-- Cost     O(n), n = pauses
--@include lib/clock.lua

local key, target, text, expected = KEYS[1], ARGV[3], ARGV[4], ARGV[5]
local now = redis_now(ARGV[1])
local act, most = ARGV[2], tonumber(ARGV[6])

local function has_ended(json)
  local readable, pause = pcall(cjson.decode, json)
  if not readable or type(pause) ~= "table" or type(pause.resume) == "table" then return false end
  return type(pause["until"]) == "number" and pause["until"] <= now
end

local all, ended, count = {}, {}, 0
local found, revision = redis.call("HGETALL", key), 0
for i = 1, #found, 2 do
  if found[i] == "revision" then
    revision = tonumber(found[i + 1]) or 0
  elseif has_ended(found[i + 1]) then
    ended[#ended + 1] = found[i]
  else
    all[found[i]], count = found[i + 1], count + 1
  end
end

local function change()
  local before = all[target]
  if act == "read" then return "read" end
  if act == "delete" and not before then return "unknown" end
  if expected ~= "" and before ~= expected then return "changed" end
  if act == "delete" then
    all[target] = nil
    redis.call("HDEL", key, target)
    return "deleted", true
  end
  if has_ended(text) then return "past" end
  if not before and count >= most then return "full" end
  all[target] = text
  redis.call("HSET", key, target, text)
  return before and "replaced" or "created", true
end

local word, is_changed = change()
for i = 1, #ended do
  if not all[ended[i]] then redis.call("HDEL", key, ended[i]) end
end
if is_changed or #ended > 0 then
  -- A list that was lost continues above every revision that shards have copied.
  revision = math.max(revision + 1, now)
  redis.call("HSET", key, "revision", string.format("%.0f", revision))
end
local reply = { word, now, revision }
for name, json in pairs(all) do
  reply[#reply + 1] = name
  reply[#reply + 1] = json
end
return reply
