#!lua flags=allow-oom
-- release: end claims without delivery, if their lock still holds their token: back on the schedule, or dead.
--
-- KEYS[1]  scheduled  zset  message id -> due time (epoch ms); the main due set, of which lanes are suffixes
-- KEYS[2]  claimed    zset  message id -> lock end (epoch ms)
-- KEYS[3]  attempts   hash  message id -> "<failures> <recoveries>"
-- KEYS[4]  messages   hash  message id -> record
-- KEYS[5]  laned      zset  message id in a lane -> due time (epoch ms)
-- KEYS[6]  hosts      zset  lane of a webhook host -> due time of its first message
-- KEYS[7]  queues     zset  lane of a pull queue -> due time of its first message
-- KEYS[8]  dead       zset  message id -> became a dead letter at (epoch ms)
-- KEYS[9]  failures   hash  message id -> reason and last attempts
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  wake_channel     string   where sleeping servers listen
-- ARGV[3]  shard            integer  named in what is published
-- ARGV[4]  lock_prefix      string   lock key = lock_prefix .. id, in the shard's slot
-- ARGV[5]  tag_prefix       string   tag index key = tag_prefix .. tag
-- ARGV[6]  dead_max         integer  dead letters kept in this shard
-- ARGV[7]  dead_ttl_ms      integer  how long they are kept
-- ARGV[8]  retry            JSON     {attempts, minMs, maxMs, factor, jitter}: for what a message does not say itself
-- ARGV[9..]                 seven per message:
--            id      each once
--            token   the token that claim was called with
--            why     "failed": counts as a failure; due again after the policy's back-off, or when ms from now if
--                    that is later, at most its maxMs; dead if that was the last attempt
--                    "postponed": the same, but due again exactly when ms from now
--                    "rejected": counts as a failure, and dead at once
--                    "returned": undelivered and unharmed, counts as nothing; due again at when
--                    "deferred": the same, but due again exactly when ms from now
--            when    ms from now, or for "returned" the epoch ms that claim returned as due
--            random  0 to 1, for the jitter, as scripts have no chance of their own
--            reason  why, as a short code
--            report  the attempt as JSON, "" for none
--
-- Returns  {trimmed, word, word, ...}: dead letters deleted because they are too many or too old, and for each message
--          "released", "dead", or "lost": its lock does not hold this token; for fewer messages than asked if they are
--          much work (lib/work.lua). For a failure, "released" is followed by a blank and the next due time (epoch ms)
-- Writes   only for owned ids; publishes for each lane that has a new first message
-- Cost     O(n log S), n = ids, S = scheduled messages
--@include lib/attempts.lua
--@include lib/clock.lua
--@include lib/dead-letters.lua
--@include lib/lock.lua
--@include lib/record.lua
--@include lib/work.lua

local claimed, attempts, messages, failures = KEYS[2], KEYS[3], KEYS[4], KEYS[9]
local due = { scheduled = KEYS[1], laned = KEYS[5], hosts = KEYS[6], queues = KEYS[7] }
local now = redis_now(ARGV[1])
local wake_channel, shard = ARGV[2], ARGV[3]
local lock_prefix, tag_prefix = ARGV[4], ARGV[5]
local dead_letters = { dead = KEYS[8], failures = failures, messages = messages, attempts = attempts,
  tag_prefix = tag_prefix, max = tonumber(ARGV[6]), ttl_ms = tonumber(ARGV[7]) }
local default_retry = cjson.decode(ARGV[8])
local FIRST, WIDTH = 9, 7

local ids, tokens = {}, {}
for i = FIRST, #ARGV, WIDTH do
  ids[#ids + 1] = ARGV[i]
  tokens[#tokens + 1] = ARGV[i + 1]
end

-- policy_of(options): the message's retry policy; the defaults fill in what it leaves out.
local function policy_of(options)
  local readable, own = pcall(cjson.decode, options and options.r or "{}")
  local policy = {}
  for name, value in pairs(default_retry) do
    policy[name] = readable and type(own) == "table" and type(own[name]) == type(value) and own[name] or value
  end
  return policy
end

-- back_off_ms(policy, failed, random): the wait after so many failures.
local function back_off_ms(policy, failed, random)
  local wait = math.min(policy.maxMs, policy.minMs * policy.factor ^ (failed - 1))
  return policy.jitter == "none" and wait or wait * random
end

local owned, lost = split_by_owner(lock_prefix, ids, tokens)
local words, places, tags, released, work, last = { 0 }, {}, {}, {}, 0, #ids
for i = 1, #owned do
  if work >= WORK_AT_ONCE then
    last = owned[i] - 1
    break
  end
  local id, at = ids[owned[i]], FIRST + (owned[i] - 1) * WIDTH
  local why, when, random = ARGV[at + 2], tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local reason, report = ARGV[at + 5], ARGV[at + 6]
  local record = redis.call("HGET", messages, id)
  local options = record and options_of(record)
  work = work + 1 + work_of(record or "", options)
  released[i] = id
  redis.call("ZREM", claimed, id)
  if why == "returned" then
    words[owned[i] + 1] = "released"
    collect(places, lane_of(options), id, digits(when))
  elseif why == "deferred" then
    local due_at = digits(now + when)
    words[owned[i] + 1] = "released"
    collect(places, lane_of(options), id, due_at)
    collect_tags(tags, id, options, due_at)
  else
    add_to_counts(attempts, id, 1, 0)
    local failed = counts_of(attempts, id)
    local policy = policy_of(options)
    if why == "rejected" or failed >= policy.attempts then
      words[owned[i] + 1] = "dead"
      move_to_dead_letters(dead_letters, id, options, reason, report, now)
    else
      note_failure(failures, id, reason, report)
      local wait = when
      if why == "failed" then
        wait = math.min(policy.maxMs, math.max(when, back_off_ms(policy, failed, random)))
      end
      local due_at = digits(now + math.ceil(wait))
      words[owned[i] + 1] = "released " .. due_at
      collect(places, lane_of(options), id, due_at)
      collect_tags(tags, id, options, due_at)
    end
  end
end
for i = 1, #lost do
  if lost[i] <= last then words[lost[i] + 1] = "lost" end
end
unlock(lock_prefix, released)
index_all_tags(tag_prefix, tags)
enqueue_all(due, places, wake_channel, shard, now)
words[1] = trim_dead(dead_letters, now)
return words
