--@include lib/lanes.lua
-- A call does a bounded part of its work, so that it takes a few milliseconds, and says how much.
local WORK_AT_ONCE = 500

-- work_of(record, options): the work for a message, in units of a small message without tags and lane: a write for each
-- tag, some for the index of its lane, and its bytes.
local function work_of(record, options)
  local tags = options and options.t
  local work = 1 + #record / 8192 + (tags and #tags / 2 or 0)
  return options and options.d and is_indexed(lane_of(options)) and work + 2 or work
end
