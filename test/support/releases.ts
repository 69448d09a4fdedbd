import { expect } from 'vitest'
import type { Release } from '../../src/store/scripts/settle.ts'
import { claim } from './acts.ts'
import { checkKeys } from './invariants.ts'
import { scoreOf } from './look-ups.ts'
import { SETTINGS } from './retention.ts'
import type { ScriptWorld } from './script-world.ts'

/** Settings whose retries wait 1 s, 2 s, 4 s and so on up to a minute, without jitter. */
export const PATIENT = {
  ...SETTINGS,
  retry: { attempts: 100, minMs: 1_000, maxMs: 60_000, factor: 2, jitter: 'none' as 'none' | 'full' },
}

export const failed = (
  token: string,
  id: string,
  said: Partial<Extract<Release, { why: 'failed' }>> = {},
): Release => ({
  ...{ id, token, why: 'failed', retryAfterMs: 0, reason: 'timeout', report: '', ...said },
})

export const release = (w: ScriptWorld, ...releases: Release[]) => w.scripts.release(w.shard, releases)

/** Claims a message, releases it as `make` says, and expects it to be due again after `ms`. */
export async function waits(
  w: ScriptWorld,
  id: string,
  make: (token: string) => Release,
  ms: number,
): Promise<void> {
  const claimed = await claim(w)
  expect(claimed.ids).toEqual([id])
  const before = await w.now()
  expect(await release(w, make(claimed.token))).toMatchObject({ words: ['released'], trimmed: 0 })
  const after = await w.now()
  const dueAt = await scoreOf(w, id)
  expect(dueAt).toBeGreaterThanOrEqual(before + ms)
  expect(dueAt).toBeLessThanOrEqual(after + ms)
  await checkKeys(w)
  w.pass(Math.max(0, dueAt - after))
}
