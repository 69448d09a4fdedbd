#!lua
-- schedule: store the messages whose id is new, in due order.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms)
-- KEYS[2]  messages   hash  message id -> record
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock in tests; 0 in production
-- ARGV[2]  wake_channel     string   where sleeping servers listen
-- ARGV[3]  shard            integer  named in what is published
-- ARGV[4..]                 four per message:
--            id
--            due_at  epoch ms, digits only
--            rule    "future": only if due_at has not come yet; "any": whatever it is
--            body    the record without its due time
--
-- Returns  {now, head, position, word, position, word, ...}
--            now       Redis's clock, epoch ms
--            head      ms until the next message if this call brought it, else ""
--            position  of a message that was not stored, from 1
--            word      "exists": its id is known; "past": its rule is "future" and due_at has come
-- Writes   records and due times of the messages it does not name; publishes when head moved
-- Cost     O(n log S), n = messages, S = scheduled messages
--@include lib/clock.lua
--@include lib/batch.lua
--@include lib/wake.lua

local scheduled, messages = KEYS[1], KEYS[2]
local now = redis_now(tonumber(ARGV[1]))
local wake_channel, shard = ARGV[2], ARGV[3]

local head_before = head_due(scheduled)
local earliest
local stored, reply = {}, { now, "" }
for i = 4, #ARGV, 4 do
  local id, due_at, rule, body = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local due_ms = tonumber(due_at)
  local refused
  if rule == "future" and due_ms <= now then
    refused = "past"
  elseif redis.call("HSETNX", messages, id, due_at .. body) == 0 then
    refused = "exists"
  end
  if refused then
    reply[#reply + 1] = i / 4
    reply[#reply + 1] = refused
  else
    stored[#stored + 1] = due_at
    stored[#stored + 1] = id
    if not earliest or due_ms < earliest then earliest = due_ms end
  end
end
in_slices(stored, 2, function(first, last)
  redis.call("ZADD", scheduled, unpack(stored, first, last))
end)
reply[2] = wake_claimers(wake_channel, shard, head_before, earliest, now)
return reply
