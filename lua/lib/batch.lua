-- in_slices(list, width, visit): calls visit(first, last) over list in slices of whole
-- entries, width items each. Lua's unpack fails beyond a few thousand values, so
-- every variadic command goes through here.
local function in_slices(list, width, visit)
  local slice = 2000 - 2000 % width
  for first = 1, #list, slice do
    visit(first, math.min(first + slice - 1, #list))
  end
end
