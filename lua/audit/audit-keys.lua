#!lua flags=no-writes
-- audit-keys: tell what is wrong with single keys of a shard at this moment.
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
--@include lib/clock.lua

local shard = {
  scheduled = KEYS[1], claimed = KEYS[2], dead = KEYS[3], messages = KEYS[4], attempts = KEYS[5], failures = KEYS[6],
  history = KEYS[7], delivered = KEYS[8], dropped = KEYS[9], laned = KEYS[10], hosts = KEYS[11], queues = KEYS[12],
  claims = KEYS[13], streams = KEYS[14],
  now = redis_now(tonumber(ARGV[1])), lock_prefix = ARGV[2], tag_prefix = ARGV[3], seen_prefix = ARGV[4],
  call_prefix = ARGV[5],
}
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
  lane = function(_, lane) if is_indexed(lane) then check_lane(shard, lane, add) end end,
  stream = check_stream,
}
for i = 6, #ARGV, 4 do
  local part, name, key, wanted = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local found = redis.call("TYPE", key).ok
  if found ~= "none" and found ~= wanted then
    add("wrong-type", key, "a " .. found .. ", not a " .. wanted)
  elseif found ~= "none" and checks[part] then
    checks[part](shard, name, add)
  end
end
return reply
