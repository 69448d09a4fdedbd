#!lua flags=no-writes
-- audit-page: look at one page of a collection of a shard, and tell what is wrong with its members at this moment.
--
-- KEYS[1..16] and ARGV[1..5]: see lib/audit.lua
-- ARGV[6]  collection  "messages", "scheduled", "stream", "laned", "claimed", "dead", "attempts", "failures",
--                      "history", "delivered", "dropped", "cancellations", "cancelled", "hosts", "queues", "lane" or
--                      "tag"
-- ARGV[7]  name        string   which lane or tag; "" for the others
-- ARGV[8]  cursor      string   "0" for the first page
-- ARGV[9]  count       integer  about how many members
--
-- Returns  {cursor, looked_at, bytes, kind, name, detail, ...}: where the next page begins, "0" at the end; how many
--          members were looked at, and of how many bytes; and three per finding
-- Writes   nothing
-- Cost     O(count log S), S = scheduled messages
--@include lib/audit.lua

local collection, name, cursor, count = ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])

local reply = { "0", 0, 0 }
local function add(kind, about, detail)
  local at = #reply
  reply[at + 1], reply[at + 2], reply[at + 3] = kind, about, detail
end

local function member_of(set)
  return function(id) check_member(set, id, add) end
end

local key_of = {
  stream = due_set(shard, "stream"), lane = due_set(shard, name), tag = shard.tag_prefix .. name,
}
local checks = {
  messages = function(id, record) check_message(id, record, add) end,
  scheduled = member_of("scheduled"), stream = member_of("the lane of streams"),
  laned = member_of("the index of lanes"), claimed = member_of("claimed"), dead = member_of("dead"),
  lane = function(id) check_in_lane(name, id, add) end,
  tag = function(id) check_tagged(name, id, add) end,
  attempts = function(id, counts) check_attempts(id, counts, add) end,
  failures = function(id, text) check_failures(id, text, add) end,
  history = function(id, entry) check_outcome(id, entry, add) end,
  delivered = function(id) check_finished("delivered", id, add) end,
  dropped = function(id) check_finished("dropped", id, add) end,
  cancellations = function(id, entry) check_cancellation(id, entry, add) end,
  cancelled = function(id) check_finished("cancelled", id, add) end,
  hosts = function(lane) check_lane(lane, add) end,
  queues = function(lane) check_lane(lane, add) end,
}
local HASHES = { messages = true, attempts = true, failures = true, history = true, cancellations = true }

local key = key_of[collection] or shard[collection]
local page = redis.call(HASHES[collection] and "HSCAN" or "ZSCAN", key, cursor, "COUNT", count)
local check, members = checks[collection], page[2]
reply[1], reply[2] = page[1], #members / 2
for i = 1, #members, 2 do
  reply[3] = reply[3] + #members[i + 1]
  check(members[i], members[i + 1])
end
return reply
