#!lua flags=no-writes
-- heads: read what messages are, without their payloads.
--
-- KEYS[1]  messages  hash  message id -> record
-- ARGV[1..] id       string
--
-- Returns  for each id its record up to the payload; "" for one without a record, and for all once records of 4 MiB
--          were read
-- Writes   nothing
-- Cost     O(n), n = ids
local messages = KEYS[1]
local MOST_BYTES = 4194304

local heads, bytes = {}, 0
for i = 1, #ARGV do
  local record = bytes < MOST_BYTES and redis.call("HGET", messages, ARGV[i]) or ""
  bytes = bytes + #record
  heads[i] = string.match(record, "^[^\n]*")
end
return heads
