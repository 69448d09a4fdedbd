import { expect } from 'vitest'
import type { FindingKind } from '../../src/audit/kinds.ts'
import { laneOf as laneOfDestination } from '../../src/destinations/registry.ts'
import type { Destination } from '../../src/domain/message.ts'
import { keysOf } from '../../src/store/keys.ts'
import { auditFindings } from './audit.ts'
import type { ScriptWorld } from './script-world.ts'

/** The lane of a message by the TypeScript code; "" for the main due set. */
export const laneOf = ({
  destination,
  lane,
}: {
  destination?: Destination | undefined
  lane?: string
}): string => lane ?? (destination === undefined ? '' : laneOfDestination(destination))

/** The keys of a shard with their content. */
export interface Dump {
  /** of a sorted set its members and scores, in order; of a hash its fields and values */
  map(key: string): Map<string, string>
  set(key: string): string[]
  string(key: string): string | undefined
  /** of each entry its id and its fields */
  stream(key: string): [id: string, fields: Record<string, string>][]
  /** what follows a prefix in the names of all keys that have it */
  behind(prefix: string): string[]
  /** all content, except the stored answers of schedule calls, which expire */
  readonly text: string
}

const DUMP = `
local all = {}
local read = {
  zset = function(key) return redis.call("ZRANGE", key, 0, -1, "WITHSCORES") end,
  hash = function(key) return redis.call("HGETALL", key) end,
  set = function(key) return redis.call("SMEMBERS", key) end,
  string = function(key) return { redis.call("GET", key) } end,
  stream = function(key) return redis.call("XRANGE", key, "-", "+") end,
}
for _, key in ipairs(redis.call("KEYS", ARGV[1] .. "*")) do
  local kind = redis.call("TYPE", key).ok
  all[#all + 1] = { key, (read[kind] or function() return { kind } end)(key) }
end
return all
`

/** Reads all keys of a shard, atomically. */
export async function dump({ client, namespace, shard }: ScriptWorld, of = shard): Promise<Dump> {
  const { scheduled, lockPrefix } = keysOf(of, namespace)
  const reply = await client.eval(DUMP, 1, scheduled, lockPrefix.slice(0, -'lock:'.length))
  // The script answers, for each key, its name and a list that depends on its type.
  const all = new Map(reply as [string, unknown[]][])
  const listOf = (key: string) => (all.get(key) ?? []) as string[]
  const sorted = [...all.keys()].sort()
  const { callPrefix } = keysOf(of, namespace)
  const isOfCall = (key: string) => key.startsWith(callPrefix)
  return {
    map: (key) => new Map(pairs(listOf(key))),
    set: (key) => listOf(key),
    string: (key) => listOf(key)[0],
    stream: (key) =>
      ((all.get(key) ?? []) as [string, string[]][]).map(([id, fields]) => [
        id,
        Object.fromEntries(pairs(fields)),
      ]),
    behind: (prefix) => sorted.filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length)),
    text: JSON.stringify(sorted.filter((key) => !isOfCall(key)).map((key) => [key, all.get(key)])),
  }
}

const pairs = (flat: readonly string[]): [string, string][] =>
  flat.flatMap((value, i): [string, string][] => (i % 2 === 0 ? [[value, flat[i + 1] ?? '']] : []))

/**
 * Asserts what is true of all keys between any two calls: everything that the auditor checks, except keys that only
 * servers use, as no server records a number of shards here.
 *
 * @param without kinds of findings that the test has caused by hand
 * @returns the keys of the shard
 */
export async function checkKeys(
  w: ScriptWorld,
  shard = w.shard,
  without: readonly FindingKind[] = [],
): Promise<Dump> {
  const { client, namespace, clockOffsetMs } = w
  const findings = await auditFindings(client, namespace, {
    clockOffsetMs,
    without: ['shard-counts', ...without],
  })
  expect(findings).toEqual([])
  return dump(w, shard)
}
