--@include lib/batch.lua
-- Tags use pcall: if another program has put something else under the key of a tag, only that tag is lost.

-- index_tags(tag_prefix, id, options, score): lists a scheduled or claimed message under each of its tags.
local function index_tags(tag_prefix, id, options, score)
  for _, tag in ipairs(options and options.t or {}) do
    redis.pcall("ZADD", tag_prefix .. tag, score, id)
  end
end

-- unindex_tags(tag_prefix, id, options): removes it there.
local function unindex_tags(tag_prefix, id, options)
  for _, tag in ipairs(options and options.t or {}) do
    redis.pcall("ZREM", tag_prefix .. tag, id)
  end
end

-- collect_tags(tags, id, options, score): notes a message for index_all_tags or, without a score, for unindex_all_tags.
local function collect_tags(tags, id, options, score)
  for _, tag in ipairs(options and options.t or {}) do
    local members = tags[tag]
    if not members then
      members = {}
      tags[tag] = members
    end
    if score then members[#members + 1] = score end
    members[#members + 1] = id
  end
end

-- index_all_tags(tag_prefix, tags): index_tags for all collected messages, with one command per tag.
local function index_all_tags(tag_prefix, tags)
  for tag, members in pairs(tags) do
    in_slices(members, 2, function(first, last)
      redis.pcall("ZADD", tag_prefix .. tag, unpack(members, first, last))
    end)
  end
end

-- unindex_all_tags(tag_prefix, tags): unindex_tags for all collected messages.
local function unindex_all_tags(tag_prefix, tags)
  for tag, members in pairs(tags) do
    in_slices(members, 1, function(first, last)
      redis.pcall("ZREM", tag_prefix .. tag, unpack(members, first, last))
    end)
  end
end
