#!lua
-- schedule: store the messages whose id is new, in due order.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms); the main due set, of which lanes are suffixes
-- KEYS[2]  messages   hash  message id -> record
-- KEYS[3]  history    hash  message id -> outcome
-- KEYS[4]  delivered  zset  message id -> finished at (epoch ms)
-- KEYS[5]  dropped    zset  message id -> finished at (epoch ms)
-- KEYS[6]  laned      zset  message id in a lane -> due time (epoch ms)
-- KEYS[7]  hosts      zset  lane of a webhook host -> due time of its first message
-- KEYS[8]  queues     zset  lane of a pull queue -> due time of its first message
-- KEYS[9]  streams    set   names of streams
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock in tests; 0 in production
-- ARGV[2]  wake_channel     string   where sleeping servers listen
-- ARGV[3]  shard            integer  named in what is published
-- ARGV[4]  tag_prefix       string   tag index key = tag_prefix .. tag
-- ARGV[5]  seen_prefix      string   key of a finished client-made id = seen_prefix .. id
-- ARGV[6..]                 four per message:
--            id
--            due   epoch ms in digits, or "+" and ms from now
--            rule  "future": a server-made id, only if due has not come yet; "any": a server-made id;
--                  "client": an id of the client's, which may be known, in use or finished; "client <ms>": the
--                  same, but from this time (epoch ms) on it is not stored, as it may belong in another shard
--            body  the record without its due time
--
-- Returns  {now, head, position, word, position, word, ...}
--            now       Redis's clock, epoch ms
--            head      ms until the next message for a server if this call brought it, else ""
--            position  of a message that was not stored, from 1
--            word      "exists": its server-made id is known; "past": its rule is "future" and due has come;
--                      "expired": its not-after lies before its due time;
--                      "duplicate", "conflict": its client-made id is known, with the same or other content;
--                      "moved": it is not known here, and its rule's time has come
-- Writes   records, due times and tags of the messages it does not name; publishes for each lane that has a new
--          first message
-- Cost     O(n log S), n = messages, S = scheduled messages
--@include lib/clock.lua
--@include lib/batch.lua
--@include lib/wake.lua
--@include lib/lanes.lua
--@include lib/record.lua
--@include lib/tags.lua
--@include lib/history.lua
--@include lib/streams.lua

local messages = KEYS[2]
local due_sets = { scheduled = KEYS[1], laned = KEYS[6], hosts = KEYS[7], queues = KEYS[8] }
local streams = { names = KEYS[9] }
local history = { entries = KEYS[3], delivered = KEYS[4], dropped = KEYS[5] }
local now = redis_now(tonumber(ARGV[1]))
local wake_channel, shard, tag_prefix, seen_prefix = ARGV[2], ARGV[3], ARGV[4], ARGV[5]

-- with_creation_time(body): a server-made id tells when it was made; for others the record does.
local function with_creation_time(body)
  return '{"c":"' .. digits(now) .. '",' .. string.sub(body, 2)
end

-- known(id, fingerprint): "duplicate" or "conflict" for an id in use or just finished, else nil.
local function known(id, fingerprint)
  local record = redis.call("HGET", messages, id)
  local seen = record and (options_of(record) or {}).f
  if not seen then
    local finished = redis.call("GET", seen_prefix .. id)
    seen = finished and string.match(finished, " (.*)$")
  end
  if seen then return seen == fingerprint and "duplicate" or "conflict" end
end

local places, reply = {}, { now, "" }
for i = 6, #ARGV, 4 do
  local id, due, rule, body = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local due_ms = string.byte(due) == 43 and now + tonumber(due) or tonumber(due)
  local due_at = string.byte(due) == 43 and digits(due_ms) or due
  local options = string.byte(body) == 123 and options_of(due_at .. body) or nil
  local is_client = string.sub(rule, 1, 6) == "client"
  local closes_at = is_client and tonumber(string.sub(rule, 8))
  local refused
  if is_client then refused = known(id, options.f) or closes_at and now >= closes_at and "moved" end
  if not refused then
    if rule == "future" and due_ms <= now then
      refused = redis.call("HEXISTS", messages, id) == 1 and "exists" or "past"
    elseif options and options.n and tonumber(options.n) < due_ms then
      refused = "expired"
    elseif is_client then
      forget_outcome(history, id)
      redis.call("HSET", messages, id, due_at .. with_creation_time(body))
    elseif redis.call("HSETNX", messages, id, due_at .. body) == 0 then
      refused = "exists"
    end
  end
  if refused then
    reply[#reply + 1] = (i - 2) / 4
    reply[#reply + 1] = refused
  else
    gather(places, lane_of(options), id, due_at)
    index_tags(tag_prefix, id, options, due_at)
    local stream = stream_of(options)
    if stream then know_stream(streams, stream) end
  end
end
reply[2] = place_all(due_sets, places, wake_channel, shard, now)
return reply
