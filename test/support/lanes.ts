import { entry, pull, webhook } from './acts.ts'
import { checkKeys } from './invariants.ts'
import type { ScriptWorld } from './script-world.ts'

export const [ONE, TWO, THREE] = ['https://one.test', 'https://two.test', 'http://three.test:8080']

export const toHost = (host = ONE) => ({ destination: webhook(host) })

export const toQueue = (queue = 'q') => ({ destination: pull(queue) })

/** What lies in the main due set and in each lane, and what the indexes say. */
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
 * Schedules messages by their lane: each "<id>" of a host due so many ms before the first call of the test, as only
 * from one time is it certain which of two hosts has waited longer.
 *
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
