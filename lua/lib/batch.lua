-- in_slices(list, width, visit): calls visit(first, last) for slices of list that hold whole entries of width items.
-- Lua's unpack fails beyond a few thousand values, so every variadic command uses this.
local function in_slices(list, width, visit)
  local slice = 2000 - 2000 % width
  for first = 1, #list, slice do
    visit(first, math.min(first + slice - 1, #list))
  end
end

-- values_of(hash, ids): like HMGET, for any number of ids.
local function values_of(hash, ids)
  local values = {}
  in_slices(ids, 1, function(first, last)
    local slice = redis.call("HMGET", hash, unpack(ids, first, last))
    for i = 1, #slice do values[first + i - 1] = slice[i] end
  end)
  return values
end
