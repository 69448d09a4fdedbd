#!lua flags=allow-oom
-- claim: take due messages off the main due set, lock each, and return those this call locked.
--
-- KEYS[1..15] and ARGV[1..14]: see lib/claim-state.lua
-- ARGV[15] limit            integer  messages at most
--
-- It returns fewer once their records pass 4 MiB, or if they are much work (lib/work.lua).
--
-- Returns  {<the first eight>, hosts_in, streams_in, id, due, record, attempts, ...}: see lib/lock-taken.lua; and
--            next_in      ms until the next message is due, 0 if one is; "" for none
--            hosts_in     ms until the first message for a webhook host is due, 0 if one is; "" for none
--            streams_in   the same for a stream
-- Writes   locks and claimed entries for what it returns; expired claims of the shard go back to their lanes; publishes
--          "help <shard>" when it leaves some of what is due, so that other servers come.
-- Cost     O((n + r) log S), n = claimed now, r = recovered (500 at most)
--@include lib/claim-state.lua
--@include lib/lock-taken.lua
--@include lib/recover.lua
--@include lib/take.lua

local state = claim_state(10)
local limit = tonumber(ARGV[15])
recover(state)
take(state, "", limit)
local head = next_due_in(state.due, state.pauses, "")
lock_taken(state)
state.reply[9] = wait_of(state, next_due_of(state.pauses, state.due.hosts))
state.reply[10] = wait_of(state, next_due_in(state.due, state.pauses, "stream"))
return answer(state, head, true)
