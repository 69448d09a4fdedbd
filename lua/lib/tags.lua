-- Should somebody else have put something else under a tag's key, only the tag is lost: hence pcall.

-- index_tags(tag_prefix, id, options, score): lists a scheduled or claimed message under each of its tags.
local function index_tags(tag_prefix, id, options, score)
  for _, tag in ipairs(options and options.t or {}) do
    redis.pcall("ZADD", tag_prefix .. tag, score, id)
  end
end

-- unindex_tags(tag_prefix, id, options): the opposite.
local function unindex_tags(tag_prefix, id, options)
  for _, tag in ipairs(options and options.t or {}) do
    redis.pcall("ZREM", tag_prefix .. tag, id)
  end
end
