#!lua
-- schedule: store the messages whose id is new, in due order. A call may be sent any number of times: it is run once.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms); the main due set, of which lanes are suffixes
-- KEYS[2]  messages   hash  message id -> record
-- KEYS[3]  history    hash  message id -> history entry
-- KEYS[4]  delivered  zset  message id -> finished at (epoch ms)
-- KEYS[5]  dropped    zset  message id -> finished at (epoch ms)
-- KEYS[6]  laned      zset  message id in a lane -> due time (epoch ms)
-- KEYS[7]  hosts      zset  lane of a webhook host -> due time of its first message
-- KEYS[8]  queues     zset  lane of a pull queue -> due time of its first message
-- KEYS[9]  streams    set   names of streams
-- KEYS[10] cancelled  zset  message id -> cancelled at (epoch ms)
-- KEYS[11] cancellations  hash  message id -> history entry of a cancelled message
-- KEYS[12] call       string  what this call answered when it ran: "<ran at> <head> <position> <word> ...", "-" for no
--                             head; ends by itself once no copy of the call can run any more
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  wake_channel     string   where sleeping servers listen
-- ARGV[3]  shard            integer  named in what is published
-- ARGV[4]  tag_prefix       string   tag index key = tag_prefix .. tag
-- ARGV[5]  seen_prefix      string   key of a finished client-made id = seen_prefix .. id
-- ARGV[6]  run_by           epoch ms  a copy of the call that arrives later stores nothing; the same in every copy
-- ARGV[7]  first_sent       epoch ms  when the first copy was sent, "" in that copy: what was due in the future then
--                                     may be stored although its time has come
-- ARGV[8..]                 four per message:
--            id
--            due   epoch ms in digits, or "+" and ms from now
--            rule  "future": a server-made id, only if due has not come yet; "any": a server-made id;
--                  "client": an id of the client's, which may be known, in use or finished; "client <ms>": the
--                  same, but from this time (epoch ms) on it is not stored, as it may belong in another shard
--            body  the record without its due time
--
-- Returns  {now, ran_at, head, position, word, position, word, ...}
--            now       Redis's clock, epoch ms, with a fraction; the times below are from the whole ms
--            ran_at    when the call ran, epoch ms: now, or earlier if this is a further copy of it; "" if it came too
--                      late, and stored nothing
--            head      "<ms>:<lane>" of the next message for a server if this call brought it, else ""
--            position  of a message that was not stored, from 1
--            word      "exists": its server-made id is known; "past": its rule is "future" and due has come;
--                      "expired": its not-after is before its due time;
--                      "duplicate", "conflict": its client-made id is known, with the same or other content;
--                      "moved": it is not known here, and its rule's time has come
-- Writes   the call's own key; records, due times and tags of the messages it does not name; publishes for each lane
--          that has a new first message. All that can fail is read before the first write; a later failure is undone.
-- Cost     O(n log S), n = messages, S = scheduled messages
--@include lib/cancelled.lua
--@include lib/clock.lua
--@include lib/history.lua
--@include lib/readable.lua
--@include lib/seen.lua
--@include lib/streams.lua
--@include lib/tags.lua

local messages, call = KEYS[2], KEYS[12]
local due_sets = { scheduled = KEYS[1], laned = KEYS[6], hosts = KEYS[7], queues = KEYS[8] }
local streams = { names = KEYS[9] }
local cancelled = { set = KEYS[10], entries = KEYS[11] }
local history = { entries = KEYS[3], delivered = KEYS[4], dropped = KEYS[5] }
local now, exact_now = redis_now(ARGV[1])
local wake_channel, shard, tag_prefix, seen_prefix = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local run_by, future_from = tonumber(ARGV[6]), math.min(now, tonumber(ARGV[7]) or now)
local FIRST, WIDTH = 8, 4

local answered = redis.call("GET", call)
if answered then
  -- A copy of this call has already run.
  local reply = { exact_now }
  for word in string.gmatch(answered, "%S+") do reply[#reply + 1] = word end
  local head_in, lane = string.match(reply[3], "^(%d+):(.*)$")
  reply[3] = head_in and digits(math.max(0, tonumber(reply[2]) + head_in - now)) .. ":" .. lane or ""
  return reply
end
if now > run_by then return { exact_now, "", "" } end

-- with_creation_time(body): a server-made id tells when it was made; for others the record does.
local function with_creation_time(body)
  return '{"c":"' .. digits(now) .. '",' .. string.sub(body, 2)
end

local function is_client_rule(rule)
  return rule ~= "any" and rule ~= "future"
end

local ids, client_ids = {}, {}
for i = FIRST, #ARGV, WIDTH do
  ids[#ids + 1] = ARGV[i]
  if is_client_rule(ARGV[i + 2]) then client_ids[#client_ids + 1] = ARGV[i] end
end
local stored = values_of(messages, ids)
local finished = #client_ids > 0 and finished_fingerprints(seen_prefix, client_ids)

-- taken[id]: for each message that this call stores, the fingerprint of a client-made id, else true.
local taken = {}

-- known(nth, id, fingerprint): "duplicate" or "conflict" for a client-made id in use or just finished, else nil.
local function known(nth, id, fingerprint)
  local record = stored[nth]
  -- No content equals that of an unreadable record.
  local seen = taken[id] or record and (is_readable(record) and (options_of(record) or {}).f or "") or finished[id]
  if seen then return seen == fingerprint and "duplicate" or "conflict" end
end

local places, records, tags, new_streams, used_again, read = {}, {}, {}, {}, {}, options_reader()
local reply = { exact_now, digits(now), "" }
for nth = 1, #ids do
  local id, at = ids[nth], FIRST + (nth - 1) * WIDTH
  local due, rule, body = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local is_delay, has_options = string.byte(due) == 43, string.byte(body) == 123
  local due_ms = is_delay and now + tonumber(due) or tonumber(due)
  local due_at = is_delay and digits(due_ms) or due
  local options = has_options and read(due_at .. body) or nil
  local refused
  local is_client = is_client_rule(rule)
  if is_client then
    local closes_at = tonumber(string.sub(rule, 8))
    refused = known(nth, id, options.f) or closes_at and now >= closes_at and "moved"
  elseif stored[nth] or taken[id] then
    refused = "exists"
  elseif rule == "future" and due_ms <= future_from then
    refused = "past"
  end
  if not refused and options and options.n and tonumber(options.n) < due_ms then refused = "expired" end
  if refused then
    local last = #reply
    reply[last + 1], reply[last + 2] = nth, refused
  else
    taken[id] = is_client and options.f or true
    if is_client then used_again[#used_again + 1] = id end
    local last = #records
    records[last + 1], records[last + 2] = id, due_at .. (is_client and with_creation_time(body) or body)
    collect(places, lane_of(options), id, due_at)
    if options then
      collect_tags(tags, id, options, due_at)
      local stream = stream_of(options)
      if stream then new_streams[stream] = true end
    end
  end
end

-- The last read that can fail.
local used_entries = #used_again > 0 and history_entries_of(history, used_again)
local was_cancelled = #used_again > 0 and redis.call("EXISTS", cancelled.entries) == 1
local head = read_heads(due_sets, places, now)
if next(new_streams) then redis.call("SCARD", streams.names) end
reply[3] = head

local function write()
  local answer = reply[2] .. " " .. (head == "" and "-" or head)
  if #reply > 3 then answer = answer .. " " .. table.concat(reply, " ", 4) end
  redis.call("SET", call, answer, "PX", digits(run_by + 1 - now))
  in_slices(records, 2, function(first, last)
    redis.call("HSET", messages, unpack(records, first, last))
  end)
  index_all_tags(tag_prefix, tags)
  for stream in pairs(new_streams) do register_stream(streams, stream) end
  enqueue(due_sets, places, wake_channel, shard, now)
  if used_entries then delete_history_entries(history, used_entries) end
  if was_cancelled then forget_cancelled(cancelled, used_again) end
end

-- undo(): undoes the writes, as far as Redis allows.
local function undo()
  for i = 1, #records, 2 do redis.pcall("HDEL", messages, records[i]) end
  for tag, members in pairs(tags) do
    -- Scores and ids alternate.
    for i = 2, #members, 2 do redis.pcall("ZREM", tag_prefix .. tag, members[i]) end
  end
  for lane, place in pairs(places) do
    for i = 2, #place.members, 2 do pcall(dequeue, due_sets, lane, place.members[i]) end
  end
  redis.pcall("DEL", call)
end

-- A permission may be revoked at this moment: a call that fails must store nothing.
local written, refusal = pcall(write)
if not written then
  undo()
  return type(refusal) == "table" and refusal or redis.error_reply(refusal)
end
return reply
