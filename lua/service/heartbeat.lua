#!lua flags=allow-oom
-- heartbeat: record that a server is alive, or that it leaves; list the servers that are alive, if asked.
--
-- KEYS[1]  servers  hash  server id -> "<last heard of, epoch ms> <description>"
-- ARGV[1]  clock_offset_ms  integer  moves Redis's clock, or the test clock; see lib/clock.lua
-- ARGV[2]  server_id        string   "" only to read
-- ARGV[3]  description      string   "" to leave
-- ARGV[4]  gone_after_ms    integer  a server not heard of for this long is forgotten
-- ARGV[5]  look             1 to learn who is alive, else 0
--
-- Returns  {now, id, description, ...}: Redis's clock, and the servers that are alive if asked
-- Writes   this server's entry; if it lists servers, it deletes those that are gone, and sets future times to now
-- Cost     O(1), or O(n) to look, n = servers
--@include lib/clock.lua

local CLOCK_SLACK_MS = 1000
local servers = KEYS[1]
local now = redis_now(ARGV[1])
local server_id, description, gone_after_ms = ARGV[2], ARGV[3], tonumber(ARGV[4])

if server_id ~= "" and description ~= "" then
  redis.call("HSET", servers, server_id, string.format("%.0f ", now) .. description)
elseif server_id ~= "" then
  redis.call("HDEL", servers, server_id)
end
local alive = { now }
if ARGV[5] == "0" then return alive end
local all = redis.call("HGETALL", servers)
for i = 1, #all, 2 do
  local heard_at, text = string.match(all[i + 1], "^(%d+) (.*)$")
  if now - tonumber(heard_at) > gone_after_ms then
    redis.call("HDEL", servers, all[i])
  else
    -- A clock that was ahead wrote this. Live servers send another heartbeat, and the others expire.
    if tonumber(heard_at) > now + CLOCK_SLACK_MS then
      redis.call("HSET", servers, all[i], string.format("%.0f ", now) .. text)
    end
    alive[#alive + 1] = all[i]
    alive[#alive + 1] = text
  end
end
return alive
