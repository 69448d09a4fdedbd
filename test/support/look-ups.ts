import { Cluster, type Redis } from 'ioredis'
import { decodeRecord } from '../../src/records/record.ts'
import type { FoundMessage } from '../../src/store/scripts/query.ts'
import type { ScriptWorld } from './script-world.ts'

export const find = async (w: ScriptWorld, id: string): Promise<FoundMessage | undefined> =>
  (await w.scripts.find(w.shard, [id]))[0]

export const stateOf = async (w: ScriptWorld, id: string) => (await find(w, id))?.state ?? 'unknown'

export const scoreOf = async (w: ScriptWorld, id: string): Promise<number> =>
  (await find(w, id))?.score ?? Number.NaN

export async function recordOf(w: ScriptWorld, id: string) {
  const record = await w.client.hget(w.keys.messages, id)
  if (record === null) throw new Error(`${id} has no record`)
  return decodeRecord(record)
}

/** The ids with a tag, each followed by its score. */
export const tagged = (w: ScriptWorld, tag: string) =>
  w.client.zrange(w.keys.tagPrefix + tag, '0', '-1', 'WITHSCORES')

/**
 * The names of all keys of the shard, without their common prefix. The counter of claims is left out, and so are the
 * stored answers of schedule calls, which expire.
 */
export async function keysIn(w: ScriptWorld): Promise<string[]> {
  const nodes: Redis[] = w.client instanceof Cluster ? w.client.nodes('master') : [w.client]
  const prefix = w.keys.lockPrefix.slice(0, -'lock:'.length)
  const found = await Promise.all(nodes.map((node) => node.keys(`${prefix}*`)))
  return found
    .flat()
    .map((key) => key.slice(prefix.length))
    .filter((key) => key !== 'claims' && key !== 'clock' && !key.startsWith('call:'))
    .sort()
}

/** What went wrong with a message without what is no attempt, whose time no test knows. */
export const withoutEvents = (failures = '') => failures.replaceAll(/\n\{"re[^\n]*/g, '')
