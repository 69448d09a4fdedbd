#!lua flags=no-writes
-- permissions: which of the service's calls the user of this connection may not make.
--
-- KEYS[1]  messages  hash  message id -> record; so that a cluster asks the node that holds it
-- ARGV[1]  calls     JSON  list of calls, each a list of a command and its arguments, "KEYS[1]" standing for the key
--
-- Returns  the positions of the calls that Redis would refuse, from 1; it makes none of them
-- Writes   nothing
-- Cost     O(n), n = calls

local key, calls, refused = KEYS[1], cjson.decode(ARGV[1]), {}
for i = 1, #calls do
  local call = calls[i]
  for j = 2, #call do
    if call[j] == "KEYS[1]" then call[j] = key end
  end
  -- It fails for a command that this Redis does not have, for example because it was renamed.
  local is_known, is_allowed = pcall(redis.acl_check_cmd, unpack(call))
  if not (is_known and is_allowed) then refused[#refused + 1] = i end
end
return refused
