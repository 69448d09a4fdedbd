#!lua flags=allow-oom
-- move-to-streams: move due messages into their streams; lock and return those that cannot be moved yet.
--
-- KEYS[1]  scheduled  zset    message id -> due time (epoch ms); the main due set, of which lanes are suffixes
-- KEYS[2]  claimed    zset    message id -> lock end (epoch ms)
-- KEYS[3]  messages   hash    message id -> record, which opens with the due time
-- KEYS[4]  attempts   hash    message id -> "<failures> <recoveries>"
-- KEYS[5]  dead       zset    message id -> became a dead letter at (epoch ms)
-- KEYS[6]  history    hash    message id -> outcome
-- KEYS[7]  delivered  zset    message id -> finished at (epoch ms)
-- KEYS[8]  dropped    zset    message id -> finished at (epoch ms)
-- KEYS[9]  laned      zset    message id in a lane -> due time (epoch ms)
-- KEYS[10] hosts      zset    lane of a webhook host -> due time of its first message
-- KEYS[11] queues     zset    lane of a pull queue -> due time of its first message
-- KEYS[12] failures   hash    message id -> reason and last attempts
-- KEYS[13] claims     string  the number of claims so far
-- KEYS[14] clock      string  the latest time at which there was a claim, see lib/clock-step.lua
-- KEYS[15] streams    set     names of streams
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock in tests; 0 in production
-- ARGV[2]  wake_channel     string   where sleeping servers listen
-- ARGV[3]  shard            integer  named in what is published
-- ARGV[4]  lock_prefix      string   lock key = lock_prefix .. id, in the shard's slot
-- ARGV[5]  tag_prefix       string   tag index key = tag_prefix .. tag
-- ARGV[6]  seen_prefix      string   key of a finished client-made id = seen_prefix .. id
-- ARGV[7]  history_max      integer  outcomes kept in this shard; 0 keeps none
-- ARGV[8]  history_ttl_ms   integer  how long they are kept; 0 keeps none
-- ARGV[9]  dedup_window_ms  integer  how long finished client-made ids stay known
-- ARGV[10] dead_max         integer  dead letters kept in this shard
-- ARGV[11] dead_ttl_ms      integer  how long they are kept
-- ARGV[12] max_recoveries   integer  a claim that expires after so many makes its message a dead letter
-- ARGV[13] token            string   unique to this call; acknowledge, release and extend prove it
-- ARGV[14] lock_ms          integer  how long the locks last
-- ARGV[15] limit            integer  messages at most
-- ARGV[16] stream_prefix    string   stream key = stream_prefix .. name
--
-- It moves fewer once their records pass 4 MiB, or if they are much work (lib/work.lua).
--
-- Returns  {now, next_in, expiry_in, recovered, dropped, died, trimmed, first_claim, moved, late, ..., id, due, record,
--          attempts, refusal, ...}
--            now          Redis's clock, epoch ms, with a fraction; the times below are from the whole ms
--            next_in      ms until the next message for a stream is due, 0 if one is; "" for none
--            expiry_in    ms until the next claim expires unless it is extended; "" when there is none
--            recovered    claims found expired and put back to due
--            dropped      messages past their not-after that were dropped
--            died         messages that became dead letters: past their not-after, or recovered too often,
--                         or for a stream whose key holds something else
--            trimmed      dead letters deleted because there are too many or they are too old
--            first_claim  the claim number of the first message returned; it grows by 1 with each
--            moved        how many were moved, followed by how late each was, ms
--            due          when this attempt was due, epoch ms (a retry's own time)
--            attempts     "<failures> <recoveries>", "" when there was neither
--            refusal      why Redis refused it, as a short code: its delivery has failed, and it may be moved later;
--                         "" when its record cannot be read
-- Writes   stream entries, and the history; locks and claimed entries for what it returns; expired claims of the shard
--          go back to their lanes; publishes "help <shard>" when it leaves some of what is due, so that other servers
--          come.
--          A clock that was set back is heeded first.
--          A due id without a record is forgotten. One that another lock holds is parked in claimed until that lock
--          ends: never returned, never lost.
-- Cost     O((n + r) log S), n = moved now, r = recovered (500 at most)
--@include lib/clock.lua
--@include lib/batch.lua
--@include lib/lock.lua
--@include lib/wake.lua
--@include lib/lanes.lua
--@include lib/attempts.lua
--@include lib/record.lua
--@include lib/readable.lua
--@include lib/tags.lua
--@include lib/failures.lua
--@include lib/history.lua
--@include lib/seen.lua
--@include lib/dead-letters.lua
--@include lib/streams.lua
--@include lib/clock-step.lua
--@include lib/set-back.lua
--@include lib/work.lua
--@include lib/claim-state.lua
--@include lib/recover.lua
--@include lib/take.lua
--@include lib/lock-taken.lua

local state = claim_state(9)
local limit, streams = tonumber(ARGV[15]), { names = KEYS[15], prefix = ARGV[16] }
recover(state)
take(state, "stream", limit)
local head = head_due(due_set(state.due, "stream"))

local read, options_before, stream, max_len = options_reader(), nil, nil, nil
local moved, stay = 0, {}

-- move(i, counts): moves the message taken as number i, or notes why it stays.
local function move(i, counts)
  local id, record = state.ids[i], state.records[i]
  local options = read(record)
  if options ~= options_before then
    options_before = options
    stream, max_len = stream_of(options)
  end
  local payload = options and stream and payload_of(record)
  if not (payload and may_be_json(payload)) then
    -- For the caller to report.
    stay[#stay + 1] = { i, counts, "" }
  elseif not expire(state, id, record, options, counts) then
    local late_ms = late_ms_of(state, record)
    local refusal = move_to_stream(streams, stream, max_len, id, record, payload, options, late_ms)
    if not refusal then
      moved = moved + 1
      state.reply[9 + moved] = math.max(0, state.now - tonumber(state.due_at[i]))
      finish(state, "delivered", id, record, options, counts, late_ms)
    elseif refusal == "not a stream" then
      state.died = state.died + 1
      move_to_dead_letters(state.dead_letters, id, options, refusal, "", state.now)
    else
      -- A right may be given, and memory become free: the caller has it tried again as its policy says.
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
