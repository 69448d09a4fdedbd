--@include lib/batch.lua
-- split_by_owner(lock_prefix, ids, tokens): the positions in ids whose lock holds their token, and the others, whose
-- lock is gone or belongs to another claim. Every path proves ownership here, inside Redis.
local function split_by_owner(lock_prefix, ids, tokens)
  local owned, lost = {}, {}
  local keys = {}
  for i = 1, #ids do keys[i] = lock_prefix .. ids[i] end
  in_slices(keys, 1, function(first, last)
    local holders = redis.call("MGET", unpack(keys, first, last))
    for i = first, last do
      local side = holders[i - first + 1] == tokens[i] and owned or lost
      side[#side + 1] = i
    end
  end)
  return owned, lost
end

-- unlock(lock_prefix, ids): deletes the locks of ids whose claim has ended.
local function unlock(lock_prefix, ids)
  local keys = {}
  for i = 1, #ids do keys[i] = lock_prefix .. ids[i] end
  in_slices(keys, 1, function(first, last)
    redis.call("DEL", unpack(keys, first, last))
  end)
end
