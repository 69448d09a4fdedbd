import { put, reject } from './acts.ts'
import type { ScriptWorld } from './script-world.ts'

export const HOST = 'http://a.test'

/** Makes messages dead letters, a second apart. */
export async function makeDead(w: ScriptWorld, ...all: string[]): Promise<void> {
  for (const id of all) {
    await put(w, id, { options: { tags: ['t'] } })
    await reject(w)
    w.pass(1_000)
  }
}

/** The ids of all dead letters, the oldest first. */
export const dead = (w: ScriptWorld): Promise<string[]> => w.client.zrange(w.keys.dead, '0', '-1')
