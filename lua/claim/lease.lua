#!lua flags=allow-oom
-- lease: take due messages off the lane of one queue, lock each for a worker, and return those this call locked.
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
-- ARGV[16] lane             string   lane of the queue
--
-- It returns fewer once their records pass 4 MiB, or if they are much work (lib/work.lua).
--
-- Returns  {now, next_in, expiry_in, recovered, dropped, died, trimmed, first_claim, id, due, record, attempts, ...}
--            now          Redis's clock, epoch ms, with a fraction; the times below are from the whole ms
--            next_in      ms until the next message of the queue is due, 0 if one is; "" for none
--            expiry_in    ms until the next claim expires unless it is extended; "" when there is none
--            recovered    claims found expired and put back to due
--            dropped      messages past their not-after that were dropped
--            died         messages that became dead letters: past their not-after, or recovered too often
--            trimmed      dead letters deleted because there are too many or they are too old
--            first_claim  the claim number of the first message returned; it grows by 1 with each
--            due          when this attempt was due, epoch ms (a retry's own time)
--            attempts     "<failures> <recoveries>", "" when there was neither
-- Writes   locks and claimed entries for what it returns; expired claims of the shard go back to their lanes.
--          A clock that was set back is heeded first.
--          A due id without a record is forgotten. One that another lock holds is parked in claimed until that lock
--          ends: never returned, never lost.
-- Cost     O((n + r) log S), n = claimed now, r = recovered (500 at most)
--@include lib/clock.lua
--@include lib/batch.lua
--@include lib/lock.lua
--@include lib/wake.lua
--@include lib/lanes.lua
--@include lib/attempts.lua
--@include lib/record.lua
--@include lib/tags.lua
--@include lib/failures.lua
--@include lib/history.lua
--@include lib/seen.lua
--@include lib/dead-letters.lua
--@include lib/clock-step.lua
--@include lib/set-back.lua
--@include lib/work.lua
--@include lib/claim-state.lua
--@include lib/recover.lua
--@include lib/take.lua
--@include lib/lock-taken.lua

local state = claim_state(8)
local limit, lane = tonumber(ARGV[15]), ARGV[16]
recover(state)
if take(state, lane, limit) > 0 then index_lane(state.due, lane) end
local head = head_due(due_set(state.due, lane))
lock_taken(state)
-- What a queue holds no server could take: nobody is called for help.
return answer(state, head, false)
