import { checkKeys } from './invariants.ts'
import type { ScriptWorld } from './script-world.ts'
import { entry, pull, webhook } from './values.ts'

export const [ONE, TWO, THREE] = ['https://one.test', 'https://two.test', 'http://three.test:8080']

export const toHost = (host = ONE) => ({ destination: webhook(host) })

export const toQueue = (queue = 'q') => ({ destination: pull(queue) })

/** The ids in the main due set ("") and in each lane. */
export async function lanesOf(w: ScriptWorld) {
  const { keys } = w
  const all = await checkKeys(w)
  const lanes = all.behind(`${keys.scheduled}:`)
  return {
    '': [...all.map(keys.scheduled).keys()],
    ...Object.fromEntries(lanes.map((lane) => [lane, [...all.map(`${keys.scheduled}:${lane}`).keys()]])),
  }
}

const firstPuts = new WeakMap<ScriptWorld, number>()

/**
 * Schedules messages for a host, "" for the console. All calls of a test count from the time of the first one, so that
 * the order of hosts by how long they have waited is certain.
 *
 * @param messages by id, how many ms before that time each is due
 * @returns that time
 */
export async function putAll(
  w: ScriptWorld,
  host: string,
  messages: Record<string, number>,
): Promise<number> {
  const now = firstPuts.get(w) ?? (await w.now())
  firstPuts.set(w, now)
  await w.scripts.schedule(
    w.shard,
    Object.entries(messages).map(([id, agoMs]) =>
      entry(id, { due: { at: now - agoMs }, options: host === '' ? {} : toHost(host) }),
    ),
  )
  return now
}
