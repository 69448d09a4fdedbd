--@include lib/created.lua
--@include lib/failures.lua
-- A step of an operation changes a shard once, however often its call arrives: its answer is kept under a key of the
-- operation, and answered again. Steps are numbered from 1; "" is for a call that belongs to no operation.

-- step_answer(key, step): nil for a step that is to be run; what it answered if it ran before; an empty list if a later
-- step has run: another server has taken over.
local function step_answer(key, step)
  if step == "" then return nil end
  local number, answer = string.match(redis.call("GET", key) or "", "^(%d+) (.*)$")
  if not number or tonumber(number) < tonumber(step) then return nil end
  return number == step and cjson.decode(answer) or {}
end

-- note_step(key, step, answer): keeps what a step answered, for longer than any server may be away. Returns the answer.
local function note_step(key, step, answer)
  local KEPT_MS = 604800000
  if step ~= "" then redis.call("SET", key, step .. " " .. cjson.encode(answer), "PX", KEPT_MS) end
  return answer
end

-- began_before(id, options, mark): whether a message was there when an operation began, at mark; "" is for none.
local function began_before(id, options, mark)
  return mark == "" or created_at(id, options) <= tonumber(mark)
end

-- was_attempted(failures, id, mark): whether a delivery of a message has failed since an operation began.
local function was_attempted(failures, id, mark)
  return mark ~= "" and last_attempt_at(redis.call("HGET", failures, id) or "") > tonumber(mark)
end
