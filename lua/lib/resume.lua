--@include lib/dead-letters.lua
--@include lib/effects.lua
--@include lib/pauses.lua
-- Resumes what was paused, a bounded part in each call that claims: so any server that is alive continues it. Where a
-- pause is resumed at a pace, its messages get due times that are evenly spread; what a tag held is put back into its
-- lane. state: see lib/claim-state.lua
local RESUMED_AT_ONCE, COPY_KEPT_MS = 250, 3600000

-- resume_some(state): a step of all that is left to be resumed. A call makes all functions of its script, whether it
-- uses them or not: so those for this are made in here.
local function resume_some(state)
  --@include lib/page.lua
  --@include lib/paused-sets.lua
  --@include lib/readable.lua
  --@include lib/scheduled.lua

  -- due_when_resumed(resume, at): when the next of so many messages falls due, in digits.
  local function due_when_resumed(resume, at)
    local position = (at.done + (at.nth - 1 + resume.phase) / at.sets) / math.max(1, at.count)
    return digits(resume.at + math.max(1, math.floor(math.min(1, position) * resume.over_ms)))
  end

  -- resume_message(state, resume, at, id, score, changed): puts one message into its lane, or makes it a dead letter if
  -- it is too old. A claimed or unreadable message stays as it is.
  local function resume_message(state, resume, at, id, score, changed)
    local due, record = state.due, redis.call("HGET", state.messages, id)
    local options = record and valid_options(record)
    if not options or not scheduled_score(due, id) then return end
    local lane = lane_of(options)
    if tonumber(due_of(record)) < resume.skip_before then
      dequeue(due, lane, id)
      move_to_dead_letters(state.dead_letters, id, options, "skipped", "", state.now)
      note_effect(state.died, id, record, "skipped")
      return
    end
    local due_at = resume.over_ms > 0 and due_when_resumed(resume, at) or score
    at.done = at.done + 1
    take_back(due, lane, id)
    collect(changed.places, lane, id, due_at)
    collect_tags(changed.tags, id, options, due_at)
  end

  -- walk(state, resume, left): resumes at most left messages of a pause. Returns how many of left remain.
  local function walk(state, resume, left)
    local pauses, sets = state.pauses, sets_of_pause(state.due, state.tag_prefix, resume.field)
    local progress, changed = "at:" .. resume.field, { places = {}, tags = {} }
    local nth, count, done, score, id =
      string.match(pauses.progress[resume.field] or "1", "^(%d+) ?(%d*) ?(%d*) ?(%S*) ?(.*)$")
    local at = { nth = tonumber(nth), sets = #sets, count = tonumber(count), done = tonumber(done) or 0 }
    while at.nth <= #sets and left > 0 do
      local set, page = sets[at.nth], {}
      if is_set(set) then
        at.count = at.count or redis.call("ZCOUNT", set, digits(resume.skip_before), digits(resume.at))
        local first = id ~= "" and rank_after(set, score, id) or 0
        page = redis.call("ZRANGE", set, first, first + left - 1, "WITHSCORES")
      end
      local is_over = #page < 2 * left
      for i = 1, #page, 2 do
        if tonumber(page[i + 1]) > resume.at then
          is_over = true
          break
        end
        id, score, left = page[i], page[i + 1], left - 1
        resume_message(state, resume, at, id, score, changed)
      end
      if is_over then at.nth, at.count, at.done, id, score = at.nth + 1, nil, 0, "", "" end
    end
    index_all_tags(state.tag_prefix, changed.tags)
    enqueue_all(state.due, changed.places, state.wake_channel, state.shard, state.now, true)
    if at.nth <= #sets then
      local where = id == "" and "" or string.format(" %.0f %.0f %s %s", at.count, at.done, score, id)
      redis.call("HSET", pauses.key, progress, string.format("%.0f", at.nth) .. where)
      return 0
    end
    redis.call("HDEL", pauses.key, resume.field, progress)
    redis.call("HSET", pauses.key, "done:" .. resume.field, digits(resume.at))
    pauses.sweep = ""
    return left
  end

  -- is_elsewhere(state, lane, id): whether an id that is set aside belongs to another message by now: a server of an
  -- older version has cancelled the first one, and its id was used again.
  local function is_elsewhere(state, lane, id)
    return redis.call("ZSCORE", due_set(state.due, lane), id) or redis.call("ZSCORE", state.claimed, id)
      or redis.call("ZSCORE", state.dead_letters.dead, id)
  end

  -- sweep(state, left): looks through the next messages that are set aside, and puts back those that no pause holds.
  -- Returns true after the last.
  local function sweep(state, left)
    local pauses, due, places = state.pauses, state.due, {}
    local set = due_set(due, "paused")
    local score, id = string.match(pauses.sweep, "^(%S+) (.*)$")
    local first = id and rank_after(set, score, id) or 0
    local page = redis.call("ZRANGE", set, first, first + left - 1, "WITHSCORES")
    for i = 1, #page, 2 do
      id, score = page[i], page[i + 1]
      local record = redis.call("HGET", state.messages, id)
      local options = record and options_of(record)
      local lane = lane_of(options)
      if not record or is_elsewhere(state, lane, id) then
        redis.call("ZREM", set, id)
      elseif tags_held_through(pauses, options) < tonumber(score) then
        take_back(due, lane, id)
        collect(places, lane, id, score)
      end
    end
    enqueue_all(due, places, state.wake_channel, state.shard, state.now, true)
    if #page < 2 * left then
      redis.call("HDEL", pauses.key, "sweep")
      return true
    end
    redis.call("HSET", pauses.key, "sweep", score .. " " .. id)
  end

  local pauses, left = state.pauses, RESUMED_AT_ONCE
  for _, field in ipairs(pauses.ended) do
    redis.call("HDEL", pauses.key, field)
    pauses.sweep = ""
  end
  for _, resume in ipairs(pauses.resuming) do
    if left > 0 then left = walk(state, resume, left) end
  end
  if not pauses.sweep then return end
  if left <= 0 or not sweep(state, left) then
    if left <= 0 then redis.call("HSET", pauses.key, "sweep", pauses.sweep) end
  elseif pauses.all == 0 and not pauses.has_tags and not next(pauses.lanes) then
    redis.call("PEXPIRE", pauses.key, COPY_KEPT_MS)
  end
end
