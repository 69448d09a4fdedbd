import { pino } from 'pino'
import { describe, expect, inject, it } from 'vitest'
import type { Delivery, Outcome } from '../../src/deliver/deliver.ts'
import { SchedulerError } from '../../src/errors.ts'
import type { Scripts } from '../../src/redis/scripts.ts'
import { settle } from '../../src/settle/settle.ts'
import { type ScriptWorld, useScripts } from '../support/script-world.ts'

const LOCK_MS = 60_000
const world = useScripts(() => inject('redisUrl'))
const never = new AbortController().signal

/** The real scripts behind a connection that fails so many times, having done what was asked or not. */
function failing(w: ScriptWorld, times: number, { done }: { done: boolean }) {
  let left = times
  const through = async (call: () => Promise<string[]>) => {
    if (left === 0) return call()
    left -= 1
    if (done) await call()
    throw new SchedulerError('STORE_UNAVAILABLE', 'the connection was lost', { perhapsDone: true })
  }
  const scripts: Pick<Scripts, 'acknowledge' | 'release'> = {
    acknowledge: (...args) => through(() => w.scripts.acknowledge(...args)),
    release: (...args) => through(() => w.scripts.release(...args)),
  }
  return scripts
}

async function claimed(w: ScriptWorld): Promise<Delivery[]> {
  const due = (await w.now()) - 5
  await w.scripts.schedule(0, [w.entry('a', due)])
  const { claims } = await w.scripts.claim(0, { token: 't', limit: 10, lockMs: LOCK_MS })
  return claims.map(({ id, attemptDueAt }) => {
    return { id, dueAt: due, attemptDueAt, lateMs: 5, attempt: 1, failures: 0, payload: '1' }
  })
}

const settleOn = async (
  w: ScriptWorld,
  scripts: Pick<Scripts, 'acknowledge' | 'release'>,
  outcome: Outcome,
) => {
  const deliveries = await claimed(w)
  const lockEndsAt = performance.now() + LOCK_MS
  const deps = { scripts, logger: pino({ level: 'silent' }) }
  await settle(deps, { shard: 0, token: 't', deliveries, outcomes: [outcome], lockEndsAt }, never)
}

describe('the end of a claim', () => {
  it.each([
    ['was not done', { done: false }],
    ['was done, unheard', { done: true }],
  ])('is brought about although what was asked first %s', async (_what, how) => {
    const w = world()
    await settleOn(w, failing(w, 3, how), { kind: 'delivered' })
    expect(await w.snapshot()).toBe('[[],[],{},{}]')
    await settleOn(w, failing(w, 3, how), { kind: 'returned' })
    expect(await w.client.zcard(w.keys.scheduled)).toBe(1)
    expect(await w.lockOf('a')).toBeNull()
  })

  it('is not tried any longer than the lock lasts', async () => {
    const w = world()
    const deliveries = await claimed(w)
    const before = await w.snapshot()
    const deps = { scripts: failing(w, 1_000, { done: false }), logger: pino({ level: 'silent' }) }
    const lockEndsAt = performance.now() + 100
    await settle(
      deps,
      { shard: 0, token: 't', deliveries, outcomes: [{ kind: 'delivered' }], lockEndsAt },
      never,
    )
    expect(performance.now()).toBeLessThan(lockEndsAt + 1_000)
    expect(await w.snapshot()).toBe(before)
  })
})
