--@include lib/batch.lua
--@include lib/record.lua
-- The history keeps finished messages. An entry is "<status> <finished at> <late ms> <failures> <recoveries><line
-- break><record>", the record without its payload if that is over 1 KiB; then, after another line break, its failures,
-- if there were any (see lib/failures.lua). The attempt that delivered the message is option a of the record: "<claim>
-- <duration ms> <status> <server>", "-" for what is unknown. It is bounded by count and age, and off if either is 0.
-- history = { entries = hash key, delivered = zset key, dropped = zset key, max = n, ttl_ms = n }

-- split_for(record, attempt): what the record begins with when the attempt is its option a, and its rest.
local function split_for(record, attempt)
  local after = is_plain(record) and 14 or string.find(record, "%D")
  local next_byte = after and string.byte(record, after)
  if next_byte ~= 10 and next_byte ~= 123 then return "", record end
  local first = string.sub(record, 1, after - 1) .. '{"a":"' .. attempt
  if next_byte == 10 then return first .. '"}', string.sub(record, after) end
  return first .. (string.byte(record, after + 1) == 125 and '"' or '",'), string.sub(record, after + 1)
end

-- history_entry(status, now, late_ms, attempts, by, record, failures, attempt): its text. by is the name of the key
-- that cancelled the message, attempt what delivered it; "" for none.
local function history_entry(status, now, late_ms, attempts, by, record, failures, attempt)
  if #record > 1024 then
    local line_break = string.find(record, "\n", 1, true) or #record
    if #record - line_break > 1024 then record = string.sub(record, 1, line_break) end
  end
  local counts = attempts and string.match(attempts, "^%d+ %d+$") or "0 0"
  if by ~= "" then counts = counts .. " " .. by end
  local first, rest = "", record
  if attempt ~= "" then first, rest = split_for(record, attempt) end
  local entry = status .. " " .. now .. " " .. late_ms .. " " .. counts .. "\n" .. first .. rest
  return failures and entry .. "\n" .. failures or entry
end

-- add_history_entry(history, status, id, record, now, late_ms, attempts, failures, attempt): notes an entry for
-- write_history. now and late_ms are in digits; attempt is "" for none.
local function add_history_entry(history, status, id, record, now, late_ms, attempts, failures, attempt)
  if history.max == 0 or history.ttl_ms == 0 then return end
  local entry = history_entry(status, now, late_ms, attempts, "", record, failures, attempt)
  local noted = history.noted
  if not noted then
    noted = { entries = {}, delivered = {}, dropped = {} }
    history.noted = noted
  end
  local entries, members = noted.entries, noted[status]
  local at = #entries
  entries[at + 1], entries[at + 2] = id, entry
  at = #members
  members[at + 1], members[at + 2] = now, id
end

-- write_history(history): writes the noted entries.
local function write_history(history)
  for name, list in pairs(history.noted or {}) do
    in_slices(list, 2, function(first, last)
      redis.call(name == "entries" and "HSET" or "ZADD", history[name], unpack(list, first, last))
    end)
  end
end

-- history_entries_of(history, ids): the ids that have an entry.
local function history_entries_of(history, ids)
  local found = {}
  if #ids == 0 or redis.call("EXISTS", history.entries) == 0 then return found end
  local entries = values_of(history.entries, ids)
  for i = 1, #ids do
    if entries[i] then found[#found + 1] = ids[i] end
  end
  return found
end

-- delete_history_entries(history, ids): for ids that are used again.
local function delete_history_entries(history, ids)
  in_slices(ids, 1, function(first, last)
    redis.call("HDEL", history.entries, unpack(ids, first, last))
    redis.call("ZREM", history.delivered, unpack(ids, first, last))
    redis.call("ZREM", history.dropped, unpack(ids, first, last))
  end)
end

-- trim_history(history, now): deletes entries that are too old, then the oldest beyond the count, of both kinds. At
-- most 6,000 for each reason: more than one call can add, so that the history shrinks to its bounds.
local function trim_history(history, now)
  local AT_ONCE = 6000
  local kinds, count = { history.delivered, history.dropped }, 0
  -- ids are the first members of key.
  local function drop(key, ids)
    if #ids == 0 then return end
    redis.call("ZREMRANGEBYRANK", key, 0, #ids - 1)
    in_slices(ids, 1, function(first, last)
      redis.call("HDEL", history.entries, unpack(ids, first, last))
    end)
  end
  for _, key in ipairs(kinds) do
    drop(key, redis.call("ZRANGE", key, "-inf", now - history.ttl_ms, "BYSCORE", "LIMIT", 0, AT_ONCE))
    count = count + redis.call("ZCARD", key)
  end
  local excess = math.min(count - history.max, AT_ONCE)
  if excess <= 0 then return end
  if redis.call("EXISTS", history.dropped) == 0 then
    return drop(history.delivered, redis.call("ZRANGE", history.delivered, 0, excess - 1))
  end
  local oldest, next_at, chosen = {}, { 1, 1 }, { {}, {} }
  for i, key in ipairs(kinds) do oldest[i] = redis.call("ZRANGE", key, 0, excess - 1, "WITHSCORES") end
  for _ = 1, excess do
    local delivered_at, dropped_at = tonumber(oldest[1][next_at[1] + 1]), tonumber(oldest[2][next_at[2] + 1])
    local i = (not dropped_at or delivered_at and delivered_at <= dropped_at) and 1 or 2
    chosen[i][#chosen[i] + 1] = oldest[i][next_at[i]]
    next_at[i] = next_at[i] + 2
  end
  for i, key in ipairs(kinds) do drop(key, chosen[i]) end
end
