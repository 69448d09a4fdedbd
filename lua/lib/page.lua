-- byte_less(a, b): whether a sorts before b among equal scores of a sorted set. Lua's own "<" follows the locale.
local function byte_less(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- rank_before(key, score, id): how many members come before (score, id), whether that member is still there or not. A
-- search by halves, as a million members may share one score.
local function rank_before(key, score, id)
  local low = redis.call("ZCOUNT", key, "-inf", "(" .. score)
  local high = redis.call("ZCOUNT", key, "-inf", score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if byte_less(redis.call("ZRANGE", key, middle, middle)[1], id) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

-- rank_after(key, score, id): the rank of the first member behind (score, id).
local function rank_after(key, score, id)
  local rank = rank_before(key, score, id)
  local there = redis.call("ZRANGE", key, rank, rank, "WITHSCORES")
  return there[1] == id and tonumber(there[2]) == tonumber(score) and rank + 1 or rank
end
