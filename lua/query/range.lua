#!lua flags=no-writes
-- range: the ids of an index in order, a page at a time, for work on many messages.
--
-- KEYS[1]  index  zset  message id -> score
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock in tests; 0 in production
-- ARGV[2]  direction    "up" or "down"
-- ARGV[3]  after_score  the page begins behind this score and id, in that direction; "" for the first
-- ARGV[4]  after_id     string
-- ARGV[5]  limit        integer
--
-- Returns  {now, seen_score, id, id, ...}: Redis's clock, the last id's score ("" when there is none), the ids
-- Writes   nothing
-- Cost     O(limit + log n (log n)), n = members of the index
--@include lib/clock.lua
--@include lib/page.lua

local index = KEYS[1]
local now = redis_now(tonumber(ARGV[1]))
local direction, after_score, after_id, limit = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])

local page
if direction == "up" then
  local first = after_score == "" and 0 or rank_after(index, after_score, after_id)
  page = redis.call("ZRANGE", index, first, first + limit - 1, "WITHSCORES")
else
  -- Downwards, the next members are below (score, id). The member itself, if it still exists, is not one of them.
  local last = redis.call("ZCARD", index) - 1
  if after_score ~= "" then
    last = rank_after(index, after_score, after_id) - 1
    local at = redis.call("ZRANGE", index, last, last, "WITHSCORES")
    if last >= 0 and at[1] == after_id and at[2] == after_score then last = last - 1 end
  end
  page = {}
  if last >= 0 then
    local up = redis.call("ZRANGE", index, math.max(0, last - limit + 1), last, "WITHSCORES")
    for i = #up - 1, 1, -2 do
      page[#page + 1] = up[i]
      page[#page + 1] = up[i + 1]
    end
  end
end
local reply = { now, page[#page] or "" }
for i = 1, #page, 2 do reply[#reply + 1] = page[i] end
return reply
