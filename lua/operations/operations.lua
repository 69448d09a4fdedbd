#!lua flags=no-writes
-- operations: read operations, the newest first.
--
-- KEYS[1]  operations  zset  operation id -> started at (epoch ms)
-- ARGV[1]  operation_prefix  string  key of an operation = operation_prefix .. id
-- ARGV[2]  id                string  only this one; "" for all
-- ARGV[3..] field            string
--
-- Returns  a list per operation that is known: its id, and the values of the fields, "" for one that it has not
-- Writes   nothing
-- Cost     O(n), n = operations

local operations = KEYS[1]
local operation_prefix, only = ARGV[1], ARGV[2]

local reply = {}
for _, id in ipairs(only ~= "" and { only } or redis.call("ZRANGE", operations, 0, -1, "REV")) do
  local operation = operation_prefix .. id
  if redis.call("EXISTS", operation) == 1 then
    local values = redis.call("HMGET", operation, unpack(ARGV, 3))
    for i = 1, #values do values[i] = values[i] or "" end
    reply[#reply + 1] = { id, unpack(values) }
  end
end
return reply
