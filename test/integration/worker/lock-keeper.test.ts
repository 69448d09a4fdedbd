import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import { describe, expect, inject, it } from 'vitest'
import type { Delivery } from '../../../src/destinations/delivery.ts'
import { SchedulerError } from '../../../src/domain/errors.ts'
import { keysOf } from '../../../src/store/keys.ts'
import type { Scripts } from '../../../src/store/scripts/scripts.ts'
import { createLockKeeper } from '../../../src/worker/lock-keeper.ts'
import { claimDeliveries } from '../../support/claimed.ts'
import { noteMetrics } from '../../support/noted-metrics.ts'
import { noteTimers } from '../../support/noted-timers.ts'
import { type ScriptWorld, useScripts } from '../../support/script-world.ts'
import { lostMs } from '../../support/speed.ts'
import { until } from '../../support/until.ts'

/** Long enough that a busy machine extends it in time. */
const LOCK_MS = 3_000
const world = useScripts(() => inject('redisUrl'))

const claim = (w: ScriptWorld, count: number, shard = 0) =>
  claimDeliveries(w, { count, shard, lockMs: LOCK_MS })

/** A keeper on the real script, behind a connection that fails while `away` is true, and a record of the calls. */
function keeperOn(w: ScriptWorld, away: () => boolean = () => false, lockMs = LOCK_MS) {
  const noted = noteMetrics()
  const calls: { shard: number; count: number; lockMs: number }[] = []
  const scripts: Pick<Scripts, 'extend'> = {
    async extend(shard, args) {
      if (away()) throw new SchedulerError('STORE_UNAVAILABLE', 'away', { outcomeUnknown: true })
      calls.push({ shard, count: args.held.length, lockMs: args.lockMs })
      return w.scripts.extend(shard, args)
    },
  }
  const keeper = createLockKeeper({
    ...{ scripts, lockMs, logger: pino({ level: 'silent' }) },
    metrics: noted.metrics,
  })
  const keep = (delivery: Delivery, endsAt = performance.now() + LOCK_MS) => keeper.keep(delivery, endsAt)
  return { keep, calls, noted }
}

describe('a held lock', () => {
  it('lasts until it is released, in its key and in the claimed set', async () => {
    const w = world()
    const { keep, noted } = keeperOn(w)
    const from = performance.now()
    const kept = (await claim(w, 3)).map((delivery) => keep(delivery, from + LOCK_MS))
    const lockOf = (id: string) => w.client.pttl(w.keys.lockPrefix + id)
    while (performance.now() - from < 1.7 * LOCK_MS) {
      expect(await lockOf('m0')).toBeGreaterThan(0)
      expect(Number(await w.client.zscore(w.keys.claimed, 'm0'))).toBeGreaterThan(await w.now())
      const endsAt = kept[0]?.endsAt() ?? 0
      expect(endsAt).toBeGreaterThan(performance.now())
      // The keeper never reports a later end than the real one.
      const left = await lockOf('m0')
      expect(endsAt - performance.now()).toBeLessThanOrEqual(left + 20)
      await delay(10)
    }
    for (const each of kept) each.release()
    await until('it has ended', async () => (await lockOf('m0')) === -2, 2 * LOCK_MS)
    expect(kept.some(({ lost }) => lost.aborted)).toBe(false)
    expect(noted.of('locks lost')).toBe(0)
  })

  it('is extended in batches every third of its lifetime, each shard by itself', async () => {
    const w = world()
    const { keep, calls } = keeperOn(w)
    const all = [...(await claim(w, 700)), ...(await claim(w, 2, 1))]
    const endsAt = performance.now() + LOCK_MS
    const kept = all.map((delivery) => keep(delivery, endsAt))
    await until('all were extended', () => calls.length >= 3)
    expect(calls.slice(0, 3)).toEqual([
      { shard: 0, count: 500, lockMs: LOCK_MS },
      { shard: 0, count: 200, lockMs: LOCK_MS },
      { shard: 1, count: 2, lockMs: LOCK_MS },
    ])
    // Two or three times in its lifetime.
    const from = performance.now()
    await until('all were extended twice', () => calls.length >= 6, LOCK_MS - 50)
    await delay(LOCK_MS - 50 - (performance.now() - from))
    expect(calls.length).toBeLessThanOrEqual(12)
    const keys = keysOf(1, w.namespace)
    expect(await w.client.pttl(`${keys.lockPrefix}m0`)).toBeGreaterThan(LOCK_MS / 3)
    for (const each of kept) each.release()
  })

  it('is not extended again while a call is in flight', async () => {
    const w = world()
    let calls = 0
    const scripts: Pick<Scripts, 'extend'> = {
      async extend(...args) {
        calls += 1
        await delay(300)
        return w.scripts.extend(...args)
      },
    }
    const keeper = createLockKeeper({
      ...{ scripts, lockMs: LOCK_MS, logger: pino({ level: 'silent' }), ...noteMetrics() },
    })
    const [delivery] = await claim(w, 1)
    if (delivery === undefined) throw new Error('nothing was claimed')
    const kept = keeper.keep(delivery, performance.now() + LOCK_MS)
    await until('it is being extended', () => calls === 1)
    await delay(250)
    expect(calls).toBe(1)
    await until('it is extended again', () => calls === 2)
    expect(kept.lost.aborted).toBe(false)
    kept.release()
  })
})

describe('a lost lock', () => {
  it.each([
    ['deleted', null],
    ["another's", 'other'],
  ])('(%s) is noticed and counted once, and the others are kept', async (_what, value) => {
    const w = world()
    const { keep, calls, noted } = keeperOn(w)
    const endsAt = performance.now() + LOCK_MS
    const [a, b] = (await claim(w, 2)).map((delivery) => keep(delivery, endsAt))
    if (value === null) await w.client.del(`${w.keys.lockPrefix}m0`)
    else await w.client.set(`${w.keys.lockPrefix}m0`, value)
    await until('it is noticed', () => a?.lost.aborted === true, LOCK_MS)
    expect(b?.lost.aborted).toBe(false)
    expect(noted.of('locks lost')).toBe(1)
    expect(await w.lockOf('m0')).toBe(value)
    await until('the other is extended again', () => calls.length >= 2)
    expect(calls.slice(0, 2).map(({ count }) => count)).toEqual([2, 1])
    await delay(LOCK_MS / 4)
    expect(noted.of('locks lost')).toBe(1)
    a?.release()
    b?.release()
  })

  it('is not counted when it was released before the reply', async () => {
    const w = world()
    const { keep, calls, noted } = keeperOn(w, () => {
      queueMicrotask(() => kept?.release())
      return false
    })
    const [kept] = (await claim(w, 1)).map((delivery) => keep(delivery))
    await w.client.del(`${w.keys.lockPrefix}m0`)
    await until('it was being extended', () => calls.length === 1)
    await delay(50)
    expect(kept?.lost.aborted).toBe(false)
    expect(noted.of('locks lost')).toBe(0)
  })
})

describe('while Redis is unavailable', () => {
  it('a lock is lost when it ends by the clock of the server, and not before', async () => {
    const w = world()
    const { keep, noted } = keeperOn(w, () => true)
    const endsAt = performance.now() + LOCK_MS
    const [kept] = (await claim(w, 1)).map((delivery) => keep(delivery, endsAt))
    await until('it is lost', () => kept?.lost.aborted === true)
    const late = performance.now() - endsAt
    expect(late).toBeGreaterThanOrEqual(-1)
    expect(late - lostMs(endsAt)).toBeLessThan(LOCK_MS / 12)
    expect(noted.of('locks lost')).toBe(1)
  })

  it('no lock is lost if Redis is back before one ends', async () => {
    const w = world()
    const from = performance.now()
    const { keep, calls, noted } = keeperOn(w, () => performance.now() - from < 0.7 * LOCK_MS)
    const [kept] = (await claim(w, 1)).map((delivery) => keep(delivery, from + LOCK_MS))
    await until('it is extended', () => calls.length === 1)
    await delay(0.5 * LOCK_MS)
    expect(kept?.lost.aborted).toBe(false)
    expect(await w.lockOf('m0')).toBe('t')
    expect(noted.of('locks lost')).toBe(0)
    kept?.release()
  })
})

it('leaves no timer when no lock is held', async () => {
  const w = world()
  const deliveries = await claim(w, 2)
  const timers = noteTimers()
  const { keep } = keeperOn(w, () => false, 12 * LOCK_MS)
  for (let round = 0; round < 2; round += 1) {
    const [a, b] = deliveries.map((delivery) => keep(delivery))
    expect(timers()).toBe(1)
    a?.release()
    a?.release()
    expect(timers()).toBe(1)
    b?.release()
    expect(timers()).toBe(0)
  }
})
