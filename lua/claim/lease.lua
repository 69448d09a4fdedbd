#!lua flags=allow-oom
-- lease: take due messages off the lane of one queue, lock each for a worker, and return those this call locked.
--
-- KEYS[1..15] and ARGV[1..14]: see lib/claim-state.lua
-- ARGV[15] limit            integer  messages at most
-- ARGV[16] lane             string   lane of the queue
--
-- It returns fewer once their records pass 4 MiB, or if they are much work (lib/work.lua).
--
-- Returns  {<the first eight>, id, due, record, attempts, ...}: see lib/lock-taken.lua; and
--            next_in      ms until the next message of the queue is due, 0 if one is; "" for none
-- Writes   locks and claimed entries for what it returns; expired claims of the shard go back to their lanes.
-- Cost     O((n + r) log S), n = claimed now, r = recovered (500 at most)
--@include lib/claim-state.lua
--@include lib/lock-taken.lua
--@include lib/recover.lua
--@include lib/take.lua

local state = claim_state(8)
local limit, lane = tonumber(ARGV[15]), ARGV[16]
recover(state)
if take(state, lane, limit) > 0 then index_lane(state.due, lane) end
local head = next_due_in(state.due, state.pauses, lane)
lock_taken(state)
-- Other servers cannot claim for this worker, so none is asked for help.
return answer(state, head, false)
