import type { Redis } from 'ioredis'
import { keysOf, serversKeyOf } from '../../src/store/keys.ts'

const SET_AHEAD = `
local by, lock_prefix = tonumber(ARGV[1]), ARGV[2]
local function later(ms) return string.format("%.0f", ms + by) end
local claimed, clock, dead, delivered, dropped, history, servers = unpack(KEYS)
for _, key in ipairs({ claimed, dead, delivered, dropped }) do
  local all = redis.call("ZRANGE", key, 0, -1, "WITHSCORES")
  for i = 1, #all, 2 do redis.call("ZADD", key, later(all[i + 1]), all[i]) end
end
for _, id in ipairs(redis.call("ZRANGE", claimed, 0, -1)) do
  local left_ms = redis.call("PTTL", lock_prefix .. id)
  if left_ms > 0 then redis.call("PEXPIRE", lock_prefix .. id, left_ms + by) end
end
local entries = redis.call("HGETALL", history)
for i = 1, #entries, 2 do
  local status, at, rest = string.match(entries[i + 1], "^(%a+) (%d+)(.*)$")
  redis.call("HSET", history, entries[i], status .. " " .. later(at) .. rest)
end
local marked = redis.call("GET", clock)
if marked then redis.call("SET", clock, later(string.match(marked, "^%d+"))) end
local all = redis.call("HGETALL", servers)
for i = 1, #all, 2 do
  local at, text = string.match(all[i + 1], "^(%d+)(.*)$")
  redis.call("HSET", servers, all[i], later(at) .. text)
end
return redis.call("ZCARD", claimed)
`

/**
 * Moves all times that Redis's clock has written in a shard into the future, atomically. To every reader it looks as if
 * the clock had been set back. The clock of a redis-server itself can be moved only with tools that few machines have.
 *
 * @returns how many messages were claimed
 */
export async function setClockBack(client: Redis, namespace: string, byMs: number): Promise<number> {
  const k = keysOf(0, namespace)
  const keys = [k.claimed, k.clock, k.dead, k.delivered, k.dropped, k.history, serversKeyOf(namespace)]
  return Number(await client.eval(SET_AHEAD, keys.length, ...keys, byMs, k.lockPrefix))
}
