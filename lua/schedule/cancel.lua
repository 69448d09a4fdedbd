#!lua flags=allow-oom
-- cancel: forget messages that are scheduled, or dead; after "cancelled" they are never delivered. The history keeps
-- those that are readable and in a state.
--
-- KEYS[1..9]: see lib/find.lua
-- KEYS[10] hosts      zset  lane of a webhook host -> due time of its first message
-- KEYS[11] queues     zset  lane of a pull queue -> due time of its first message
-- KEYS[12] cancelled  zset  message id -> cancelled at (epoch ms)
-- KEYS[13] step_key   string  what the latest step of an operation answered
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  tag_prefix       string   tag index key = tag_prefix .. tag
-- ARGV[3]  seen_prefix      string   key of a finished client-made id = seen_prefix .. id
-- ARGV[4]  history_max      integer  cancelled messages kept in this shard; 0 keeps none
-- ARGV[5]  history_ttl_ms   integer  how long history entries are kept; 0 keeps none
-- ARGV[6]  if_match         string   versions accepted, comma-separated; "" or "*" for any
-- ARGV[7]  states           string   "scheduled", "dead" or "stranded" (lib/find.lua), comma-separated
-- ARGV[8]  by               string   name of the key that cancels, "" for none
-- ARGV[9]  step             integer  of the operation that this is a step of; "" for none (lib/step.lua)
-- ARGV[10] mark             epoch ms  messages created later are not meant; "" for none
-- ARGV[11..] id             string
--
-- Returns  a word per id, for fewer than asked if they are much work (lib/work.lua): "cancelled";
--          "unknown"; "claimed" and "finished": too late; "other": it is in a state that states does not name;
--          "version": its version is not accepted, or it was created after mark
-- Writes   only for "cancelled"; what a step answers
-- Cost     O(n log S), n = ids, S = scheduled messages; plus the lanes of hosts and queues for each id that is not
--          where its record says
--@include lib/cancelled.lua
--@include lib/clock.lua
--@include lib/find.lua
--@include lib/readable.lua
--@include lib/search-lanes.lua
--@include lib/seen.lua
--@include lib/step.lua
--@include lib/tags.lua
--@include lib/version.lua
--@include lib/work.lua

keys.hosts, keys.queues = KEYS[10], KEYS[11]
keys.history.ttl_ms = tonumber(ARGV[5])
local cancelled = { set = KEYS[12], entries = keys.cancellations, max = tonumber(ARGV[4]), ttl_ms = tonumber(ARGV[5]) }
local now = redis_now(ARGV[1])
local now_digits = digits(now)
local tag_prefix, seen_prefix, if_match, states, by = ARGV[2], ARGV[3], ARGV[6], ARGV[7], ARGV[8]
local step, mark = ARGV[9], ARGV[10]
local answer = step_answer(KEYS[13], step)
if answer then return answer end

local gone, is_gone, dead, tags, work = {}, {}, {}, {}, 0

local function cancel(id)
  if is_gone[id] then return "unknown" end
  local state, _, record, counts, failures = unpack(find_message(id, now))
  if state == "unknown" or state == "cancelled" then
    work = work + 1
    return is_known(seen_prefix .. id) and "finished" or "unknown"
  end
  local valid = valid_options(record)
  local options = valid or options_of(record)
  work = work + work_of(record, options)
  if state == "claimed" then return "claimed" end
  if state == "delivered" or state == "dropped" then return "finished" end
  if not string.find(states, state, 1, true) then return "other" end
  if not version_matches(if_match, options) or not began_before(id, options, mark) then return "version" end
  if state == "dead" then
    dead[#dead + 1] = id
  elseif not dequeue(keys, lane_of(options), id) then
    work = work + dequeue_anywhere(keys, id) / 10
  end
  if valid and state ~= "stranded" then add_cancellation(cancelled, id, record, now_digits, by, counts, failures) end
  gone[#gone + 1], is_gone[id] = id, true
  collect_tags(tags, id, options)
  return "cancelled"
end

local words = {}
for i = 11, #ARGV do
  if work >= WORK_AT_ONCE then break end
  words[#words + 1] = cancel(ARGV[i])
end
in_slices(dead, 1, function(first, last) redis.call("ZREM", keys.dead, unpack(dead, first, last)) end)
in_slices(gone, 1, function(first, last)
  redis.call("HDEL", keys.messages, unpack(gone, first, last))
  redis.call("HDEL", keys.attempts, unpack(gone, first, last))
  redis.call("HDEL", keys.failures, unpack(gone, first, last))
end)
unindex_all_tags(tag_prefix, tags)
write_cancellations(cancelled, now)
return note_step(KEYS[13], step, words)
