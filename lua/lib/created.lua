--@include lib/record.lua
-- created_at_of_id(id): when a message was created whose id a server made (epoch ms), nil for an id of a client's. See
-- src/domain/message-id.ts.
local function created_at_of_id(id)
  local text = string.match(id, "^~%d%d?%d?%d?(%w%w%w%w%w%w%w)%w%w%w%w$")
  if not text then return nil end
  local ms = 0
  for i = 1, #text do
    local byte = string.byte(text, i)
    local digit = byte < 58 and byte - 48 or byte < 91 and byte - 55 or byte - 61
    ms = ms * 62 + digit
  end
  return ms
end

-- created_at(id, options): when any message was created, 0 where nothing tells it.
local function created_at(id, options)
  return created_at_of_id(id) or tonumber(options and options.c or nil) or 0
end
