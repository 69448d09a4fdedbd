#!lua
-- reschedule: change a scheduled message, or a dead letter, in place. A dead letter stays dead, unless due is "now".
--
-- KEYS[1..9]: see lib/find.lua
-- KEYS[10] hosts      zset  lane of a webhook host -> due time of its first message
-- KEYS[11] queues     zset  lane of a pull queue -> due time of its first message
-- KEYS[12] streams    set   names of streams
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  wake_channel     string   where sleeping servers listen
-- ARGV[3]  shard            integer  named in what is published
-- ARGV[4]  tag_prefix       string   tag index key = tag_prefix .. tag
-- ARGV[5]  seen_prefix      string   key of a finished client-made id = seen_prefix .. id
-- ARGV[6]  history_ttl_ms   integer  how long history entries are kept
-- ARGV[7]  id
-- ARGV[8]  if_match         string   versions accepted, comma-separated; "" or "*" for any
-- ARGV[9]  due              epoch ms in digits, "+" and ms from now, or "" to leave it; "now" to deliver it as soon as
--                           possible: a time that has come stays, and a dead letter is scheduled again as by redrive
-- ARGV[10] payload          JSON text, or "" to leave it
-- ARGV[11] by       string  name of the key that changes it, "" for none
-- ARGV[12..]                two per changed option:
--            letter  see lib/record.lua
--            value   "" to remove it; tags as a JSON list
--
-- Returns  {"rescheduled", state, score, record, attempts, failures, head}, head being "<ms>:<lane>" if it became the
--          next message, else ""; {"unknown"}; {"claimed"}, {"finished"}: too late; {"damaged"}: its record is
--          unreadable, or it is in no state, because another program changed keys; {"version"}: not accepted;
--          {"expired"}: its not-after would be before its due time; {"no-not-after"}: on-late without not-after
-- Writes   only for "rescheduled"; publishes when it became the first of its lane
-- Cost     O(log S), S = scheduled messages
--@include lib/clock.lua
--@include lib/failures.lua
--@include lib/find.lua
--@include lib/readable.lua
--@include lib/seen.lua
--@include lib/streams.lua
--@include lib/tags.lua
--@include lib/version.lua

keys.hosts, keys.queues = KEYS[10], KEYS[11]
keys.history.ttl_ms = tonumber(ARGV[6])
local now = redis_now(ARGV[1])
local wake_channel, shard, tag_prefix, seen_prefix = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local id, if_match, due, payload, by = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11]

local state, score, record, attempts, failures = unpack(find_message(id, now))
if state == "unknown" then
  return { is_known(seen_prefix .. id) and "finished" or "unknown" }
end
if state == "claimed" then return { "claimed" } end
if state == "delivered" or state == "dropped" or state == "cancelled" then return { "finished" } end
local before = valid_options(record)
local is_whole = before and (payload ~= "" or may_be_json(payload_of(record)))
if state == "stranded" or not is_whole then return { "damaged" } end
if not version_matches(if_match, before) then return { "version" } end

local due_at = due_of(record)
if due == "now" then
  due_at = digits(math.min(now, tonumber(due_at)))
elseif string.byte(due) == 43 then
  due_at = digits(now + tonumber(due))
elseif due ~= "" then
  due_at = due
end
local options = {}
for name, value in pairs(before) do options[name] = value end
for i = 12, #ARGV, 2 do
  local name, value = ARGV[i], ARGV[i + 1]
  if value == "" then
    options[name] = nil
  elseif name == "t" then
    options.t = cjson.decode(value)
    if #options.t == 0 then options.t = nil end
  else
    options[name] = value
  end
end
if options.n and tonumber(options.n) < tonumber(due_at) then return { "expired" } end
if options.l and not options.n then return { "no-not-after" } end
add_change(options, digits(now), by)

local changed = join_record(due_at, options, payload ~= "" and payload or payload_of(record))
redis.call("HSET", keys.messages, id, changed)
local head = ""
if state == "dead" and due == "now" then
  redis.call("ZREM", keys.dead, id)
  redis.call("HDEL", keys.attempts, id)
  note_redriven(keys.failures, id, now, tonumber(score), by)
  state, attempts = "scheduled", ""
end
if state == "scheduled" then
  unindex_tags(tag_prefix, id, before)
  -- Without a new due time, a retry keeps its time.
  if due ~= "" then score = due_at end
  local lane, lane_before = lane_of(options), lane_of(before)
  if lane ~= lane_before then dequeue(keys, lane_before, id) else take_back(keys, lane, id) end
  local places = {}
  collect(places, lane, id, score)
  index_tags(tag_prefix, id, options, score)
  head = enqueue_all(keys, places, wake_channel, shard, now, true)
end
local stream = stream_of(options)
if stream then register_stream({ names = KEYS[12] }, stream) end
return { "rescheduled", state, score, changed, attempts, failures, head }
