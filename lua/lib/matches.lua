--@include lib/lanes.lua
--@include lib/page.lua
--@include lib/record.lua
--@include lib/scheduled.lua
-- The scripts that look for messages begin with the same keys and arguments, in this order. They walk through an index,
-- and check of each message what the index does not say.
--
-- KEYS[1]  index      zset  message id -> score: a state's set, a lane's, or a tag's
-- KEYS[2]  scheduled  zset  message id -> due time (epoch ms)
-- KEYS[3]  messages   hash  message id -> record
-- KEYS[4]  entries    hash  message id -> history entry: of the history, or of cancelled messages
-- KEYS[5]  failures   hash  message id -> reason and last attempts
-- KEYS[6]  laned      zset  message id in a lane -> due time (epoch ms)
-- ARGV[1]  direction    "up" or "down", in order of score and id
-- ARGV[2]  from         epoch ms  lowest score, or "-inf"
-- ARGV[3]  before       epoch ms  a score above the highest, or "+inf"
-- ARGV[4]  after_score  it begins behind this score and id, in that direction; "" for the first
-- ARGV[5]  after_id     string
-- ARGV[6]  limit        integer  messages looked at, at most
-- ARGV[7]  state        string   "scheduled": only those, for a tag's index; "" for all
-- ARGV[8]  tag          string   only with this tag; "" for any, as of those that follow
-- ARGV[9]  lane         string   "console" for the main due set
-- ARGV[10] reason       string   of dead letters
-- ARGV[11] id_prefix    string
-- ARGV[12] most         integer  messages that match, at most

local direction, from, before, after_score, after_id = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local looks, most = tonumber(ARGV[6]), tonumber(ARGV[12])
local wanted = { state = ARGV[7], tag = ARGV[8], lane = ARGV[9], reason = ARGV[10], id_prefix = ARGV[11] }
local options_in = options_reader()

-- lane_name(options): a message's lane, that of the console with a name.
local function lane_name(options)
  local lane = lane_of(options)
  return lane == "" and "console" or lane
end

-- record_in(text): the record of a message, or of an entry of the history (see lib/history.lua).
local function record_in(text)
  if string.find(text, "^%l") then return string.sub(text, (string.find(text, "\n", 1, true) or #text) + 1) end
  return text
end

local function reason_of(id)
  return string.match(redis.call("HGET", KEYS[5], id) or "", "^[^\n]*")
end

local function has_tag(options, tag)
  for _, each in ipairs(options and options.t or {}) do
    if each == tag then return true end
  end
end

-- stored_match(id, always): what is stored of a message if it matches, "" where nothing had to be read and always is
-- not set; nil for one that does not match.
local function stored_match(id, always)
  if string.sub(id, 1, #wanted.id_prefix) ~= wanted.id_prefix then return nil end
  if wanted.state ~= "" and not scheduled_score({ scheduled = KEYS[2], laned = KEYS[6] }, id) then return nil end
  if wanted.reason ~= "" and reason_of(id) ~= wanted.reason then return nil end
  if not always and wanted.tag == "" and wanted.lane == "" then return "" end
  local stored = redis.call("HGET", KEYS[3], id) or redis.call("HGET", KEYS[4], id)
  if not stored then return nil end
  if wanted.tag == "" and wanted.lane == "" then return stored end
  local options = options_in(record_in(stored))
  if wanted.tag ~= "" and not has_tag(options, wanted.tag) then return nil end
  if wanted.lane ~= "" and lane_name(options) ~= wanted.lane then return nil end
  return stored
end

-- bounds_of_walk(): the lowest and the highest rank of what is left to walk through.
local function bounds_of_walk()
  local index = KEYS[1]
  local lowest = from == "-inf" and 0 or redis.call("ZCOUNT", index, "-inf", "(" .. from)
  local count = before == "+inf" and redis.call("ZCARD", index) or redis.call("ZCOUNT", index, "-inf", "(" .. before)
  local highest = count - 1
  if after_score == "" then return lowest, highest end
  if direction == "up" then return math.max(lowest, rank_after(index, after_score, after_id)), highest end
  return lowest, math.min(highest, rank_before(index, after_score, after_id) - 1)
end

-- each_match(always, visit): calls visit(id, score, stored) for each message that matches, in order, stored as
-- stored_match returns it, until it returns true: that message is then left for the next call.
-- Returns the score and id behind which the next call begins, "" and "" when nothing is left; and how many messages it
-- has looked at.
local function each_match(always, visit)
  local LOOK_AT_ONCE = 100
  local is_up, looked, found, end_score, end_id = direction == "up", 0, 0, "", ""
  local lowest, highest = bounds_of_walk()
  while lowest <= highest and looked < looks and found < most do
    local count = math.min(LOOK_AT_ONCE, looks - looked, highest - lowest + 1)
    local first = is_up and lowest or highest - count + 1
    local slice = redis.call("ZRANGE", KEYS[1], first, first + count - 1, "WITHSCORES")
    for nth = 1, count do
      if found == most then break end
      local at = is_up and 2 * nth - 1 or 2 * (count - nth) + 1
      local id, score = slice[at], slice[at + 1]
      local stored = stored_match(id, always)
      if stored and visit(id, score, stored) then return end_score, end_id, looked end
      if stored then found = found + 1 end
      looked, end_score, end_id = looked + 1, score, id
      if is_up then lowest = lowest + 1 else highest = highest - 1 end
    end
  end
  if lowest > highest then return "", "", looked end
  return end_score, end_id, looked
end
