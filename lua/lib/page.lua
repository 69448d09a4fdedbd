-- byte_less(a, b): whether a sorts before b among equal scores of a sorted set. Lua's own "<" follows the locale.
local function byte_less(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- rank_after(key, score, id): the rank of the first member after (score, id), which need not exist any more. A binary
-- search, as a million members may share one score.
local function rank_after(key, score, id)
  local low = redis.call("ZCOUNT", key, "-inf", "(" .. score)
  local high = redis.call("ZCOUNT", key, "-inf", score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if byte_less(id, redis.call("ZRANGE", key, middle, middle)[1]) then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end
