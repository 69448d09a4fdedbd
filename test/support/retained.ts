import type { Retention } from '../../src/store/script-values.ts'
import { claim, deliver, put } from './acts.ts'
import { RETENTION, SETTINGS } from './retention.ts'
import type { ScriptWorld } from './script-world.ts'
import { HOUR_MS } from './values.ts'

/** Puts a message into each state. Its id is the name of the state. */
export async function oneOfEach(w: ScriptWorld): Promise<void> {
  await put(w, 'delivered')
  await deliver(w)
  const now = await w.now()
  for (const [id, onLate] of [
    ['dropped', 'drop'],
    ['dead', 'dead-letter'],
  ] as const) {
    await put(w, id, { due: { at: now - 10_000 }, options: { notAfter: now - 10_000, onLate } })
  }
  await claim(w)
  await put(w, 'claimed')
  await claim(w)
  await put(w, 'scheduled', { due: { at: now + HOUR_MS } })
}

export const keeping = (retention: Partial<Retention>) => ({
  ...SETTINGS,
  retention: { ...RETENTION, ...retention },
})
