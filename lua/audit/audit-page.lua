#!lua flags=no-writes
-- audit-page: look at one page of a collection of a shard, and tell what is wrong with its members at this moment.
--
-- KEYS[1]  scheduled  zset    message id -> due time (epoch ms); the main due set, of which lanes are suffixes
-- KEYS[2]  claimed    zset    message id -> lock end (epoch ms)
-- KEYS[3]  dead       zset    message id -> became a dead letter at (epoch ms)
-- KEYS[4]  messages   hash    message id -> record
-- KEYS[5]  attempts   hash    message id -> "<failures> <recoveries>"
-- KEYS[6]  failures   hash    message id -> reason and last attempts
-- KEYS[7]  history    hash    message id -> history entry
-- KEYS[8]  delivered  zset    message id -> finished at (epoch ms)
-- KEYS[9]  dropped    zset    message id -> finished at (epoch ms)
-- KEYS[10] laned      zset    message id in a lane -> due time (epoch ms)
-- KEYS[11] hosts      zset    lane of a webhook host -> due time of its first message
-- KEYS[12] queues     zset    lane of a pull queue -> due time of its first message
-- KEYS[13] claims     string  the number of claims so far
-- KEYS[14] streams    set     names of streams
-- ARGV[1]  clock_offset_ms  integer  moves the clock of Redis in tests; 0 in production
-- ARGV[2]  lock_prefix      string   lock key = lock_prefix .. id
-- ARGV[3]  tag_prefix       string   tag index key = tag_prefix .. tag
-- ARGV[4]  seen_prefix      string   key of a finished client-made id = seen_prefix .. id
-- ARGV[5]  call_prefix      string   key of what a schedule call answered = call_prefix .. token
-- ARGV[6]  collection  "messages", "scheduled", "stream", "laned", "claimed", "dead", "attempts", "failures",
--                      "history", "delivered", "dropped", "hosts", "queues", "lane" or "tag"
-- ARGV[7]  name        string   which lane or tag; "" for the others
-- ARGV[8]  cursor      string   "0" for the first page
-- ARGV[9]  count       integer  about how many members
--
-- Returns  {cursor, looked_at, bytes, kind, name, detail, ...}: where the next page begins, "0" at the end; how many
--          members were looked at, and of how many bytes; and three per finding
-- Writes   nothing
-- Cost     O(count log S), S = scheduled messages
--@include lib/audit.lua
--@include lib/clock.lua

local shard = {
  scheduled = KEYS[1], claimed = KEYS[2], dead = KEYS[3], messages = KEYS[4], attempts = KEYS[5], failures = KEYS[6],
  history = KEYS[7], delivered = KEYS[8], dropped = KEYS[9], laned = KEYS[10], hosts = KEYS[11], queues = KEYS[12],
  claims = KEYS[13], streams = KEYS[14],
  now = redis_now(tonumber(ARGV[1])), lock_prefix = ARGV[2], tag_prefix = ARGV[3], seen_prefix = ARGV[4],
  call_prefix = ARGV[5],
}
local collection, name, cursor, count = ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])

local reply = { "0", 0, 0 }
local function add(kind, about, detail)
  local at = #reply
  reply[at + 1], reply[at + 2], reply[at + 3] = kind, about, detail
end

local function member_of(set)
  return function(id) check_member(shard, set, id, add) end
end

local key_of = {
  stream = due_set(shard, "stream"), lane = due_set(shard, name), tag = shard.tag_prefix .. name,
}
local checks = {
  messages = function(id, record) check_message(shard, id, record, add) end,
  scheduled = member_of("scheduled"), stream = member_of("the lane of streams"),
  laned = member_of("the index of lanes"), claimed = member_of("claimed"), dead = member_of("dead"),
  lane = function(id) check_in_lane(shard, name, id, add) end,
  tag = function(id) check_tagged(shard, name, id, add) end,
  attempts = function(id, counts) check_attempts(shard, id, counts, add) end,
  failures = function(id, text) check_failures(shard, id, text, add) end,
  history = function(id, entry) check_outcome(shard, id, entry, add) end,
  delivered = function(id) check_finished(shard, "delivered", id, add) end,
  dropped = function(id) check_finished(shard, "dropped", id, add) end,
  hosts = function(lane) check_lane(shard, lane, add) end,
  queues = function(lane) check_lane(shard, lane, add) end,
}
local HASHES = { messages = true, attempts = true, failures = true, history = true }

local key = key_of[collection] or shard[collection]
local page = redis.call(HASHES[collection] and "HSCAN" or "ZSCAN", key, cursor, "COUNT", count)
local check, members = checks[collection], page[2]
reply[1], reply[2] = page[1], #members / 2
for i = 1, #members, 2 do
  reply[3] = reply[3] + #members[i + 1]
  check(members[i], members[i + 1])
end
return reply
