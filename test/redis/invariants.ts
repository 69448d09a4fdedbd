import { expect } from 'vitest'
import { decodeRecord, type StoredMessage } from '../../src/message.ts'
import { keysOf, laneOfQueue, laneOfUrl, type ShardKeys } from '../../src/redis/keys.ts'
import type { ScriptWorld } from '../support/script-world.ts'

/** The lane a message belongs in, by the code that counts slots; "" for the main due set. */
export function laneOf({ destination }: Pick<StoredMessage, 'destination'>): string {
  if (destination?.type === 'webhook') return laneOfUrl(destination.url)
  if (destination?.type === 'stream') return 'stream'
  return destination?.type === 'pull' ? laneOfQueue(destination.queue) : ''
}

/** A shard's keys with all that is in them. */
export interface Dump {
  /** sorted sets, in order, and hashes: of each key its members or fields with their scores or values */
  map(key: string): Map<string, string>
  set(key: string): string[]
  string(key: string): string | undefined
  /** of each entry its id and its fields */
  stream(key: string): [id: string, fields: Record<string, string>][]
  /** the rest of the names of all keys that begin so */
  behind(prefix: string): string[]
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

/** Everything that a shard holds, at one moment. */
export async function dump({ client, namespace, shard }: ScriptWorld, of = shard): Promise<Dump> {
  const { scheduled, lockPrefix } = keysOf(of, namespace)
  const reply = await client.eval(DUMP, 1, scheduled, lockPrefix.slice(0, -'lock:'.length))
  // What the script answers: per key its name, and a list that depends on what lies there.
  const all = new Map(reply as [string, unknown[]][])
  const listOf = (key: string) => (all.get(key) ?? []) as string[]
  const sorted = [...all.keys()].sort()
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
    text: JSON.stringify(sorted.map((key) => [key, all.get(key)])),
  }
}

export const pairs = (flat: readonly string[]): [string, string][] =>
  flat.flatMap((value, i): [string, string][] => (i % 2 === 0 ? [[value, flat[i + 1] ?? '']] : []))

/**
 * Asserts what holds of a shard's keys between any two calls: every message lies in one place and has its record,
 * the indexes say of the lanes what is in them, and nothing is left of what is gone.
 */
export async function checkKeys(w: ScriptWorld, shard = w.shard): Promise<Dump> {
  const all = await dump(w, shard)
  checkDump(all, keysOf(shard, w.namespace))
  return all
}

function checkDump(all: Dump, keys: ShardKeys): void {
  const [main, claimed, dead] = [all.map(keys.scheduled), all.map(keys.claimed), all.map(keys.dead)]
  const laned = all.map(keys.laned)
  const lanes = all.behind(`${keys.scheduled}:`).map((lane) => {
    return [lane, all.map(`${keys.scheduled}:${lane}`)] as const
  })
  const records = all.map(keys.messages)

  const whereabouts = new Map<string, string[]>()
  for (const [place, members] of [['main', main], ['claimed', claimed], ['dead', dead], ...lanes] as const) {
    for (const id of members.keys()) whereabouts.set(id, [...(whereabouts.get(id) ?? []), place])
  }
  expect([...whereabouts].filter(([, places]) => places.length > 1)).toEqual([])
  expect([...whereabouts.keys()].sort()).toEqual([...records.keys()].sort())

  // What a message says of its destination is where it lies; the indexes tell of each host and queue all ids and the head.
  const forStreams = all.map(keys.forStreams)
  const inAnyLane = new Map<string, string>()
  const heads = { hosts: new Map<string, string>(), queues: new Map<string, string>() }
  for (const [lane, members] of lanes) {
    if (lane === 'stream') continue
    for (const [id, score] of members) inAnyLane.set(id, score)
    heads[lane.startsWith('pull:') ? 'queues' : 'hosts'].set(lane, [...members.values()][0] ?? 'empty')
  }
  expect(new Map([...laned].sort())).toEqual(new Map([...inAnyLane].sort()))
  expect(all.map(keys.hosts)).toEqual(heads.hosts)
  expect(all.map(keys.queues)).toEqual(heads.queues)
  const streams = all.set(keys.streams)
  const tags = new Map(all.behind(keys.tagPrefix).map((tag) => [tag, all.map(keys.tagPrefix + tag)] as const))
  for (const [id, record] of records) {
    const message = decodeRecord(record)
    const place = whereabouts.get(id)?.[0]
    if (place !== 'claimed' && place !== 'dead') expect([id, place]).toEqual([id, laneOf(message) || 'main'])
    if (message.destination?.type === 'stream') expect(streams).toContain(message.destination.name)
    for (const tag of message.tags ?? []) {
      const score = tags.get(tag)?.get(id)
      if (place === 'dead') expect([id, tag, score]).toEqual([id, tag, undefined])
      else if (place === 'claimed') expect([id, tag, score]).toEqual([id, tag, expect.any(String)])
      else expect([id, tag, score]).toEqual([id, tag, main.get(id) ?? laned.get(id) ?? forStreams.get(id)])
    }
  }

  // Of a message that is gone there is nothing left.
  for (const hash of [keys.attempts, keys.failures]) {
    expect([...all.map(hash).keys()].filter((id) => !records.has(id))).toEqual([])
  }
  for (const [tag, members] of tags) {
    for (const id of members.keys()) {
      const own = decodeRecord(records.get(id) ?? '0\n').tags ?? []
      expect([id, own]).toEqual([id, expect.arrayContaining([tag])])
    }
  }
  expect(all.behind(keys.lockPrefix).filter((id) => !claimed.has(id))).toEqual([])
}
