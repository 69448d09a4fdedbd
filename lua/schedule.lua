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
--            now       Redis's clock, epoch ms, with a fraction; the times below are from the whole ms
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
local now, exact_now = redis_now(tonumber(ARGV[1]))
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

local FIRST, WIDTH = 6, 4
local ids = {}
for i = FIRST, #ARGV, WIDTH do ids[#ids + 1] = ARGV[i] end
local stored = values_of(messages, ids)

local places, records, new, reply, read = {}, {}, {}, { exact_now, "" }, options_reader()
for nth = 1, #ids do
  local id, at = ids[nth], FIRST + (nth - 1) * WIDTH
  local due, rule, body = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local is_delay, has_options = string.byte(due) == 43, string.byte(body) == 123
  local due_ms = is_delay and now + tonumber(due) or tonumber(due)
  local due_at = is_delay and digits(due_ms) or due
  local options = has_options and read(due_at .. body) or nil
  local refused
  local is_client = rule ~= "any" and rule ~= "future"
  if is_client then
    local closes_at = tonumber(string.sub(rule, 8))
    refused = known(id, options.f) or closes_at and now >= closes_at and "moved"
  elseif stored[nth] or new[id] then
    refused = "exists"
  elseif rule == "future" and due_ms <= now then
    refused = "past"
  end
  if not refused and options and options.n and tonumber(options.n) < due_ms then refused = "expired" end
  if refused then
    reply[#reply + 1] = nth
    reply[#reply + 1] = refused
  else
    if is_client then
      -- At once, for the same id may come again in this call.
      forget_outcome(history, id)
      redis.call("HSET", messages, id, due_at .. with_creation_time(body))
    else
      local last = #records
      records[last + 1], records[last + 2] = id, due_at .. body
      new[id] = true
    end
    gather(places, lane_of(options), id, due_at)
    if options then
      index_tags(tag_prefix, id, options, due_at)
      local stream = stream_of(options)
      if stream then know_stream(streams, stream) end
    end
  end
end
in_slices(records, 2, function(first, last)
  redis.call("HSET", messages, unpack(records, first, last))
end)
reply[2] = place_all(due_sets, places, wake_channel, shard, now)
return reply
