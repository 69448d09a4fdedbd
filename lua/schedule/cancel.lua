#!lua flags=allow-oom
-- cancel: forget messages that are scheduled, or dead; after "cancelled" they are never delivered.
--
-- KEYS[1..8]: see lib/find.lua
-- KEYS[9]  hosts      zset  lane of a webhook host -> due time of its first message
-- KEYS[10] queues     zset  lane of a pull queue -> due time of its first message
-- KEYS[11] step_key   string  what the latest step of an operation answered
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock in tests; 0 in production
-- ARGV[2]  tag_prefix       string   tag index key = tag_prefix .. tag
-- ARGV[3]  seen_prefix      string   key of a finished client-made id = seen_prefix .. id
-- ARGV[4]  history_ttl_ms   integer  how long history entries are kept
-- ARGV[5]  if_match         string   versions accepted, comma-separated; "" or "*" for any
-- ARGV[6]  states           string   "scheduled", "dead" or "stranded" (lib/find.lua), comma-separated
-- ARGV[7]  step             integer  of the operation that this is a step of; "" for none (lib/step.lua)
-- ARGV[8]  mark             epoch ms  messages created later are not meant; "" for none
-- ARGV[9..] id              string
--
-- Returns  a word per id, for fewer than asked if they are much work (lib/work.lua): "cancelled";
--          "unknown"; "claimed" and "finished": too late; "other": it is in a state that states does not name;
--          "version": its version is not accepted, or it was created after mark
-- Writes   only for "cancelled"; what a step answers
-- Cost     O(n log S), n = ids, S = scheduled messages; plus the lanes of hosts and queues for each id that is not
--          where its record says
--@include lib/clock.lua
--@include lib/find.lua
--@include lib/record.lua
--@include lib/search-lanes.lua
--@include lib/step.lua
--@include lib/tags.lua
--@include lib/version.lua
--@include lib/work.lua

keys.hosts, keys.queues = KEYS[9], KEYS[10]
keys.history.ttl_ms = tonumber(ARGV[4])
local now = redis_now(tonumber(ARGV[1]))
local tag_prefix, seen_prefix, if_match, states, step, mark = ARGV[2], ARGV[3], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local answer = step_answer(KEYS[11], step)
if answer then return answer end

local work = 0

local function cancel(id)
  local state, _, record = unpack(find_message(id, now))
  local options = record ~= "" and options_of(record) or nil
  work = work + work_of(record, options)
  if state == "unknown" then
    return redis.call("EXISTS", seen_prefix .. id) == 1 and "finished" or "unknown"
  end
  if state == "claimed" then return "claimed" end
  if state == "delivered" or state == "dropped" then return "finished" end
  if not string.find(states, state, 1, true) then return "other" end
  if not version_matches(if_match, options) or not began_before(id, options, mark) then return "version" end
  if state == "dead" then
    redis.call("ZREM", keys.dead, id)
  elseif not dequeue(keys, lane_of(options), id) then
    work = work + dequeue_anywhere(keys, id) / 10
  end
  redis.call("HDEL", keys.messages, id)
  redis.call("HDEL", keys.attempts, id)
  redis.call("HDEL", keys.failures, id)
  unindex_tags(tag_prefix, id, options)
  return "cancelled"
end

local words = {}
for i = 9, #ARGV do
  if work >= WORK_AT_ONCE then break end
  words[#words + 1] = cancel(ARGV[i])
end
return note_step(KEYS[11], step, words)
