#!lua flags=no-writes
-- list: a page of one index of messages, in order of score and id.
--
-- KEYS[1]  index      zset  message id -> score: a state's set, or a tag's
-- KEYS[2]  scheduled  zset  message id -> due time (epoch ms)
-- KEYS[3]  messages   hash  message id -> record
-- KEYS[4]  attempts   hash  message id -> "<failures> <recoveries>"
-- KEYS[5]  history    hash  message id -> history entry
-- KEYS[6]  failures   hash  message id -> reason and last attempts
-- KEYS[7]  laned      zset  message id in a lane -> due time (epoch ms)
-- ARGV[1]  from         epoch ms  lowest score, or "-inf"
-- ARGV[2]  before       epoch ms  a score above the highest, or "+inf"
-- ARGV[3]  after_score  the page begins behind this score and id; "" for the first page
-- ARGV[4]  after_id     string
-- ARGV[5]  limit        integer  messages looked at, at most
-- ARGV[6]  bytes        integer  the page ends early once it is larger; it holds one message at least
-- ARGV[7]  keep         string   "all"; "scheduled": only those, for a tag's index; or "tag:" and a tag
--
-- Returns  {seen_score, seen_id, id, score, record, attempts, failures, ...}: where the page ended, "" and "" when
--          nothing is left behind it, and five per message; a finished one has its history entry as record
-- Writes   nothing
-- Cost     O(limit + log n (log n)), n = members of the index
--@include lib/page.lua
--@include lib/record.lua
--@include lib/scheduled.lua

local index, messages, attempts, history, failures = KEYS[1], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local due = { scheduled = KEYS[2], laned = KEYS[7] }
local from, before, after_score, after_id = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local limit, bytes_left, keep = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local LOOK_AT_ONCE = 100

local function has_tag(record, wanted)
  for _, tag in ipairs((options_of(record) or {}).t or {}) do
    if tag == wanted then return true end
  end
end

local first = redis.call("ZCOUNT", index, "-inf", "(" .. from)
if from == "-inf" then first = 0 end
if after_score ~= "" then first = math.max(first, rank_after(index, after_score, after_id)) end
local last = redis.call("ZCOUNT", index, "-inf", "(" .. before) - 1
if before == "+inf" then last = redis.call("ZCARD", index) - 1 end
local stop = math.min(last, first + limit - 1)

local any_attempts, any_failures = redis.call("EXISTS", attempts) == 1, redis.call("EXISTS", failures) == 1
local reply = { "", "" }
while first <= stop do
  local slice = redis.call("ZRANGE", index, first, math.min(first + LOOK_AT_ONCE - 1, stop), "WITHSCORES")
  for i = 1, #slice, 2 do
    local id, score = slice[i], slice[i + 1]
    -- One at a time, as each may be large: nothing is read that is not answered, but for the last.
    local record = redis.call("HGET", messages, id) or redis.call("HGET", history, id)
    local kept = record and (keep == "all"
      or keep == "scheduled" and scheduled_score(due, id)
      or string.sub(keep, 1, 4) == "tag:" and has_tag(record, string.sub(keep, 5)))
    if kept then
      if #reply > 2 and #record > bytes_left then return reply end
      bytes_left = bytes_left - #record
      local count = any_attempts and redis.call("HGET", attempts, id) or ""
      local notes = any_failures and redis.call("HGET", failures, id) or ""
      for _, value in ipairs({ id, score, record, count or "", notes or "" }) do reply[#reply + 1] = value end
    end
    if first < last then
      reply[1], reply[2] = score, id
    else
      reply[1], reply[2] = "", ""
    end
    first = first + 1
  end
end
return reply
