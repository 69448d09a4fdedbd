import { pino } from 'pino'
import { describe, expect, inject, it } from 'vitest'
import type { Delivery, Outcome } from '../../../src/destinations/delivery.ts'
import { SchedulerError } from '../../../src/domain/errors.ts'
import type { Scripts } from '../../../src/store/scripts/scripts.ts'
import { settle } from '../../../src/worker/settle.ts'
import { claimAll } from '../../support/claim-all.ts'
import { type NotedMetrics, noteMetrics } from '../../support/noted-metrics.ts'
import { mainRoom } from '../../support/retention.ts'
import { type ScriptWorld, useScripts } from '../../support/script-world.ts'
import { machineMs } from '../../support/speed.ts'
import { UNTOLD } from '../../support/untold.ts'

const LOCK_MS = 60_000
const world = useScripts(() => inject('redisUrl'))
const never = new AbortController().signal
const logger = pino({ level: 'silent' })

/** The real scripts behind a connection that fails `times` times, before or after the call has run. */
function failing(w: ScriptWorld, times: number, { done }: { done: boolean }) {
  let left = times
  const through = async <T>(call: () => Promise<T>) => {
    if (left === 0) return call()
    left -= 1
    if (done) await call()
    throw new SchedulerError('STORE_UNAVAILABLE', 'the connection was lost', { outcomeUnknown: true })
  }
  const scripts: Pick<Scripts, 'acknowledge' | 'release'> = {
    acknowledge: (...args) => through(() => w.scripts.acknowledge(...args)),
    release: (...args) => through(() => w.scripts.release(...args)),
  }
  return scripts
}

async function claimed(w: ScriptWorld, ids = ['a']): Promise<Delivery[]> {
  const due = (await w.now()) - 5
  await w.scripts.schedule(
    0,
    ids.map((id) => w.entry(id, due)),
  )
  const { claims } = await claimAll(w.scripts, 0, { token: 't', lockMs: LOCK_MS, room: mainRoom() })
  return claims.map(
    ({ id, number, attemptDueAt }): Delivery => ({
      ...{ id, shard: 0, token: 't', claim: number, dueAt: due, attemptDueAt, lateMs: 5, attempt: 1 },
      payload: '1',
      destination: { type: 'console' },
      lane: '',
    }),
  )
}

const report = { at: 1, claim: 1, durationMs: 2 }

const settleOn = async (
  w: ScriptWorld,
  scripts: Pick<Scripts, 'acknowledge' | 'release'>,
  outcome: Outcome,
): Promise<NotedMetrics> => {
  const deliveries = await claimed(w)
  const lockEndsAt = performance.now() + LOCK_MS
  const noted = noteMetrics()
  await settle(
    { ...UNTOLD, scripts, logger, metrics: noted.metrics },
    0,
    deliveries.map((delivery) => ({ delivery, outcome })),
    () => lockEndsAt,
    never,
  )
  return noted
}

describe('the end of a claim', () => {
  it.each([
    ['did not run', { done: false }],
    ['ran and its reply was lost', { done: true }],
  ])('is stored although the first call %s', async (_what, how) => {
    const w = world()
    const noted = await settleOn(w, failing(w, 3, how), { kind: 'delivered' })
    expect(await w.snapshot()).toBe('[[],[],{},{}]')
    // The first call removed the lock that the repeated one misses: it is not lost.
    expect([noted.of('delivered console'), noted.of('locks lost')]).toEqual([1, 0])
    const returned = await settleOn(w, failing(w, 3, how), { kind: 'returned' })
    expect(returned.of('locks lost')).toBe(0)
    expect(await w.client.zcard(w.keys.scheduled)).toBe(1)
    expect(await w.lockOf('a')).toBeNull()
  })

  it('is tried as long as the lock lasts, and no longer', async () => {
    const w = world()
    const deliveries = await claimed(w)
    const before = await w.snapshot()
    const scripts = failing(w, 1_000, { done: false })
    const from = performance.now()
    const lockEndsAt = from + 100
    const settlements = deliveries.map((delivery) => ({ delivery, outcome: { kind: 'delivered' } as const }))
    await settle({ scripts, logger, ...noteMetrics(), ...UNTOLD }, 0, settlements, () => lockEndsAt, never)
    expect(machineMs(from)).toBeLessThan(1_100)
    expect(await w.snapshot()).toBe(before)
  })

  it('is tried as long as the lock is extended', async () => {
    const w = world()
    const deliveries = await claimed(w)
    const from = performance.now()
    const settlements = deliveries.map((delivery) => ({ delivery, outcome: { kind: 'delivered' } as const }))
    // Read each time: always in the future.
    const lockEndsAt = () => performance.now() + 5_000
    await settle(
      { scripts: failing(w, 4, { done: false }), logger, ...noteMetrics(), ...UNTOLD },
      ...([0, settlements, lockEndsAt, never] as const),
    )
    expect(performance.now() - from).toBeGreaterThan(25 + 50 + 100 + 200 - 5)
    expect(await w.snapshot()).toBe('[[],[],{},{}]')
  })

  it('is tried once, and no more, when the service ends now', async () => {
    const w = world()
    const deliveries = await claimed(w)
    const ending = new AbortController()
    ending.abort()
    let calls = 0
    const scripts: Pick<Scripts, 'acknowledge' | 'release'> = {
      ...w.scripts,
      async release() {
        calls += 1
        throw new SchedulerError('STORE_UNAVAILABLE', 'away')
      },
    }
    const settlements = deliveries.map((delivery) => ({ delivery, outcome: { kind: 'returned' } as const }))
    await settle(
      { scripts, logger, ...noteMetrics(), ...UNTOLD },
      ...([0, settlements, () => Number.POSITIVE_INFINITY, ending.signal] as const),
    )
    expect(calls).toBe(1)
  })

  it('is not retried when Redis refuses for a permanent reason', async () => {
    const w = world()
    const deliveries = await claimed(w)
    let calls = 0
    const scripts: Pick<Scripts, 'acknowledge' | 'release'> = {
      ...w.scripts,
      async acknowledge() {
        calls += 1
        throw new TypeError('acknowledge.lua answered 7')
      },
    }
    const settlements = deliveries.map((delivery) => ({ delivery, outcome: { kind: 'delivered' } as const }))
    await settle(
      { scripts, logger, ...noteMetrics(), ...UNTOLD },
      ...([0, settlements, () => Number.POSITIVE_INFINITY, never] as const),
    )
    expect(calls).toBe(1)
  })

  it('follows each outcome: delivered, due again later, dead, or unchanged', async () => {
    const w = world()
    const outcomes: Record<string, Outcome> = {
      delivered: { kind: 'delivered' },
      failed: { kind: 'failed', reason: 'timeout', report },
      later: {
        kind: 'failed',
        reason: 'status 429',
        retryAfterMs: 40_000,
        report: { ...report, status: 429 },
      },
      rejected: { kind: 'rejected', reason: 'status 410', report: { ...report, status: 410 } },
      returned: { kind: 'returned' },
    }
    const deliveries = await claimed(w, Object.keys(outcomes))
    const now = await w.now()
    const noted = noteMetrics()
    await settle(
      { ...UNTOLD, scripts: w.scripts, logger, metrics: noted.metrics },
      0,
      deliveries.map((delivery) => ({ delivery, outcome: outcomes[delivery.id] ?? { kind: 'returned' } })),
      () => performance.now() + LOCK_MS,
      never,
    )
    const after = await w.now()
    const due = async (id: string) => Number(await w.client.zscore(w.keys.scheduled, id))
    expect(await w.client.zcard(w.keys.claimed)).toBe(0)
    expect((await w.client.hkeys(w.keys.messages)).sort()).toEqual([
      'failed',
      'later',
      'rejected',
      'returned',
    ])
    expect(await due('returned')).toBeLessThan(now)
    expect(await due('failed')).toBeGreaterThanOrEqual(now)
    expect(await due('failed')).toBeLessThan(after + 3_000)
    expect(await due('later')).toBeGreaterThanOrEqual(now + 40_000)
    expect(await w.client.zrange(w.keys.dead, '0', '-1')).toEqual(['rejected'])
    expect(await w.client.hgetall(w.keys.attempts)).toEqual({ failed: '1 0', later: '1 0', rejected: '1 0' })
    const notes = await w.client.hgetall(w.keys.failures)
    expect(notes.rejected).toBe(`status 410\n${JSON.stringify({ ...report, status: 410 })}`)
    expect(notes.later).toBe(`status 429\n${JSON.stringify({ ...report, status: 429 })}`)
    expect(Object.keys(notes).sort()).toEqual(['failed', 'later', 'rejected'])
    expect(['delivered console', 'failed console retried', 'failed console dead'].map(noted.of)).toEqual([
      1, 2, 1,
    ])
  })

  it('records how late the delivery started, not how late it ended', async () => {
    const w = world()
    const [delivery] = await claimed(w)
    if (delivery === undefined) throw new Error('nothing was claimed')
    w.pass(20_000)
    await settle(
      { scripts: w.scripts, logger, ...noteMetrics(), ...UNTOLD },
      0,
      [{ delivery, outcome: { kind: 'delivered' } }],
      () => performance.now() + LOCK_MS,
      never,
    )
    expect(await w.client.hget(w.keys.history, 'a')).toMatch(/^delivered \d+ 5 0 0\n/)
  })

  it('changes nothing of a message that another claimer has, and counts it as lost', async () => {
    const w = world()
    const deliveries = await claimed(w, ['a', 'b', 'c', 'd'])
    for (const id of ['a', 'b']) await w.client.set(w.keys.lockPrefix + id, 'other')
    const before = await w.client.hmget(w.keys.messages, 'a', 'b')
    const noted = noteMetrics()
    await settle(
      { ...UNTOLD, scripts: w.scripts, logger, metrics: noted.metrics },
      0,
      deliveries.map((delivery, i) => ({
        delivery,
        outcome: i % 2 === 0 ? { kind: 'delivered' } : { kind: 'failed', reason: 'no', report },
      })),
      () => performance.now() + LOCK_MS,
      never,
    )
    expect(await w.client.hmget(w.keys.messages, 'a', 'b')).toEqual(before)
    expect([await w.lockOf('a'), await w.lockOf('b')]).toEqual(['other', 'other'])
    expect(await w.client.hgetall(w.keys.attempts)).toEqual({ d: '1 0' })
    expect(['locks lost', 'delivered console', 'failed console retried'].map(noted.of)).toEqual([2, 1, 1])
  })
})
