#!lua flags=allow-oom
-- move-to-streams: move due messages into their streams; lock and return those that cannot be moved yet.
--
-- KEYS[1..15] and ARGV[1..14]: see lib/claim-state.lua
-- KEYS[16] streams    set     names of streams
-- ARGV[15] limit            integer  messages at most
-- ARGV[16] stream_prefix    string   stream key = stream_prefix .. name
-- ARGV[17] tells            0 or 1   whether to tell which messages were moved
--
-- It moves fewer once their records pass 4 MiB, or if they are much work (lib/work.lua).
--
-- Returns  {<the first eight>, moved, late, ..., id, due, record, attempts, refusal, ...}: see lib/lock-taken.lua; and
--            next_in      ms until the next message for a stream is due, 0 if one is; "" for none
--            died         also those for a stream whose key holds something else
--            moved        how many were moved, followed by how late each was, ms; where it tells which, also by its id
--                         and its record without the payload
--            refusal      why Redis refused it, as a short code: its delivery has failed, and it may be moved later;
--                         "" when its record cannot be read
-- Writes   stream entries, and the history; locks and claimed entries for what it returns; expired claims of the shard
--          go back to their lanes; publishes "help <shard>" when it leaves some of what is due, so that other servers
--          come.
-- Cost     O((n + r) log S), n = moved now, r = recovered (500 at most)
--@include lib/claim-state.lua
--@include lib/lock-taken.lua
--@include lib/readable.lua
--@include lib/recover.lua
--@include lib/streams.lua
--@include lib/take.lua

local state = claim_state(9)
local limit, streams = tonumber(ARGV[15]), { names = KEYS[16], prefix = ARGV[16] }
local tells = ARGV[17] == "1"
recover(state)
take(state, "stream", limit)
local head = next_due_in(state.due, state.pauses, "stream")

local read, options_before, stream, max_len = options_reader(), nil, nil, nil
local moved, stay = 0, {}

-- move(i, counts): moves taken message i, or notes why it stays.
local function move(i, counts)
  local id, record = state.ids[i], state.records[i]
  local options = read(record)
  if options ~= options_before then
    options_before = options
    stream, max_len = stream_of(options)
  end
  local payload = options and stream and payload_of(record)
  if not (payload and may_be_json(payload)) then
    -- The caller reports it.
    stay[#stay + 1] = { i, counts, "" }
  elseif not expire(state, id, record, options, counts) then
    local late_ms = late_ms_of(state, record)
    local refusal = move_to_stream(streams, stream, max_len, id, record, payload, options, late_ms)
    if not refusal then
      moved = moved + 1
      local reply = state.reply
      local at = #reply
      reply[at + 1] = math.max(0, state.now - tonumber(state.due_at[i]))
      if tells then reply[at + 2], reply[at + 3] = id, string.match(record, "^[^\n]*") end
      finish(state, "delivered", id, record, options, counts, late_ms, "")
    elseif refusal == "not a stream" then
      note_effect(state.died, id, record, refusal)
      move_to_dead_letters(state.dead_letters, id, options, refusal, "", state.now)
    else
      -- A permission may be granted, or memory become free: the caller retries as the message's policy says.
      stay[#stay + 1] = { i, counts, refusal }
    end
  end
end

local all_counts = counts_of_taken(state)
for i = 1, #state.ids do
  if state.records[i] then move(i, all_counts[i] or "") end
end
state.reply[9] = moved
for _, each in ipairs(stay) do lock(state, each[1], each[2], each[3]) end
return answer(state, head, true)
