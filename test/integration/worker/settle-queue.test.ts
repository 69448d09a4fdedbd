import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import { describe, expect, inject, it } from 'vitest'
import type { Delivery, Outcome } from '../../../src/destinations/delivery.ts'
import { SchedulerError } from '../../../src/domain/errors.ts'
import { keysOf } from '../../../src/store/keys.ts'
import type { Scripts } from '../../../src/store/scripts/scripts.ts'
import { SettleQueue } from '../../../src/worker/settle-queue.ts'
import { claimDeliveries } from '../../support/claimed.ts'
import { noteMetrics } from '../../support/noted-metrics.ts'
import { type ScriptWorld, useScripts } from '../../support/script-world.ts'
import { until } from '../../support/until.ts'
import { UNTOLD } from '../../support/untold.ts'

const LOCK_MS = 60_000
const DELIVERED: Outcome = { kind: 'delivered' }
const world = useScripts(() => inject('redisUrl'))
const never = new AbortController().signal

const claim = (w: ScriptWorld, count: number, shard = 0) =>
  claimDeliveries(w, { count, shard, lockMs: LOCK_MS })

/** A queue on the real scripts, whose calls wait for `each`, and a record of the calls. */
function queueOn(
  w: ScriptWorld,
  each: (call: number) => Promise<void> = async () => undefined,
  signal = never,
) {
  const noted = noteMetrics()
  const calls: { shard: number; count: number }[] = []
  const inFlight = new Map<number, number>()
  let most = 0
  const through = async <T>(shard: number, count: number, call: () => Promise<T>) => {
    calls.push({ shard, count })
    inFlight.set(shard, (inFlight.get(shard) ?? 0) + 1)
    most = Math.max(most, inFlight.get(shard) ?? 0)
    try {
      await each(calls.length)
      return await call()
    } finally {
      inFlight.set(shard, (inFlight.get(shard) ?? 1) - 1)
    }
  }
  const scripts: Pick<Scripts, 'acknowledge' | 'release'> = {
    acknowledge: (shard, all) => through(shard, all.length, () => w.scripts.acknowledge(shard, all)),
    release: (shard, all) => through(shard, all.length, () => w.scripts.release(shard, all)),
  }
  const logger = pino({ level: 'silent' })
  const queue = new SettleQueue({ ...UNTOLD, scripts, logger, metrics: noted.metrics }, signal)
  const endsAt = performance.now() + LOCK_MS
  const add = (delivery: Delivery, outcome = DELIVERED, lockEndsAt = () => endsAt) =>
    queue.add([{ delivery, outcome }], lockEndsAt)
  return { queue, add, calls, noted, most: () => most }
}

const left = (w: ScriptWorld, shard = 0) => w.client.hlen(keysOf(shard, w.namespace).messages)

describe('settlements', () => {
  it('share a call within a few ms, one for each shard', async () => {
    const w = world()
    const all = [...(await claim(w, 40)), ...(await claim(w, 7, 1))]
    const { add, calls } = queueOn(w)
    await Promise.all(
      all.map(async (delivery, i) => {
        // Some of them a few microtasks later.
        for (let j = 0; j < i % 5; j += 1) await undefined
        return add(delivery)
      }),
    )
    expect(calls).toEqual([
      { shard: 0, count: 40 },
      { shard: 1, count: 7 },
    ])
    expect([await left(w), await left(w, 1)]).toEqual([0, 0])
  })

  it('wait while two calls are in flight, and share the next', async () => {
    const w = world()
    const all = await claim(w, 60)
    const answers: (() => void)[] = []
    const { queue, add, calls, most } = queueOn(w, () => new Promise((resolve) => void answers.push(resolve)))
    const settled: Promise<void>[] = []
    for (const delivery of all) {
      settled.push(add(delivery))
      queue.claimSent(0)
    }
    expect(calls.map(({ count }) => count)).toEqual([1, 1])
    answers[1]?.()
    await settled[1]
    await until('the third is sent', () => answers.length === 3)
    expect(calls.map(({ count }) => count)).toEqual([1, 1, 58])
    answers[0]?.()
    answers[2]?.()
    await Promise.all(settled)
    expect(most()).toBe(2)
    expect(await left(w)).toBe(0)
  })

  it('follow a claim of their shard at once, and no claim of another shard', async () => {
    const w = world()
    const { queue, add, calls } = queueOn(w)
    const all = await claim(w, 3)
    const settled = all.map((delivery) => add(delivery))
    queue.claimSent(1)
    expect(calls).toEqual([])
    queue.claimSent(0)
    expect(calls).toEqual([{ shard: 0, count: 3 }])
    queue.claimSent(0)
    await Promise.all(settled)
    expect(calls).toHaveLength(1)
    expect(await left(w)).toBe(0)
  })

  it('are sent without waiting for a claim once they are many', async () => {
    const w = world()
    const { add, calls } = queueOn(w)
    const [last, ...all] = await claim(w, 51)
    if (last === undefined) throw new Error('nothing was claimed')
    const settled = all.map((delivery) => add(delivery))
    expect(calls).toEqual([])
    settled.push(add(last))
    expect(calls).toEqual([{ shard: 0, count: 51 }])
    await Promise.all(settled)
  })

  it('are sent together when they are of one batch', async () => {
    const w = world()
    const { queue, calls } = queueOn(w)
    const all = await claim(w, 20)
    await queue.add(
      all.map((delivery) => ({ delivery, outcome: DELIVERED })),
      () => performance.now() + 1_000,
    )
    await queue.add([], () => 0)
    expect(calls).toEqual([{ shard: 0, count: 20 }])
    expect(await left(w)).toBe(0)
  })

  it('are all sent however many wait, at most 500 in a call', async () => {
    const w = world()
    const all = await claim(w, 1_800)
    const { add, calls, most, noted } = queueOn(w, () => delay(5))
    await Promise.all(all.map((delivery) => add(delivery)))
    expect(calls.reduce((sum, { count }) => sum + count, 0)).toBe(1_800)
    expect(Math.max(...calls.map(({ count }) => count))).toBe(500)
    expect(most()).toBeLessThanOrEqual(2)
    expect([await left(w), noted.of('delivered webhook')]).toEqual([0, 1_800])
  })

  it('are all sent in any order, with at most two concurrent calls a shard', async () => {
    const w = world()
    const all = [...(await claim(w, 300)), ...(await claim(w, 300, 1))].sort(() => Math.random() - 0.5)
    const { add, most } = queueOn(w, () => delay(Math.random() * 8))
    await Promise.all(
      all.map(async (delivery) => {
        await delay(Math.random() * 120)
        await add(delivery)
      }),
    )
    expect([await left(w), await left(w, 1)]).toEqual([0, 0])
    expect(most()).toBe(2)
  })

  it('are sent one after another as deliveries end', async () => {
    const w = world()
    const { add, calls } = queueOn(w)
    for (const delivery of await claim(w, 6)) await add(delivery)
    expect(calls.map(({ count }) => count)).toEqual([1, 1, 1, 1, 1, 1])
    expect(await left(w)).toBe(0)
  })

  it('are each stored with their own outcome, also in a mixed batch', async () => {
    const w = world()
    const all = await claim(w, 30)
    const report = { at: 1, claim: 1, durationMs: 1 }
    const outcomes: Outcome[] = [
      DELIVERED,
      { kind: 'returned' },
      { kind: 'rejected', reason: 'status 410', report },
    ]
    const { add, noted } = queueOn(w)
    await Promise.all(all.map((delivery, i) => add(delivery, outcomes[i % 3])))
    expect(await w.client.zcard(w.keys.claimed)).toBe(0)
    expect(await w.client.zcard(w.keys.scheduled)).toBe(10)
    expect(await w.client.zcard(w.keys.dead)).toBe(10)
    expect(['delivered webhook', 'failed webhook dead'].map(noted.of)).toEqual([10, 10])
  })
})

describe('while calls fail', () => {
  const away = () => new SchedulerError('STORE_UNAVAILABLE', 'away', { outcomeUnknown: true })

  it('no settlement is lost, and all are stored once calls work again', async () => {
    const w = world()
    const all = await claim(w, 700)
    const from = performance.now()
    const { add } = queueOn(w, async () => {
      if (performance.now() - from < 300) throw away()
    })
    await Promise.all(
      all.map(async (delivery, i) => {
        await delay(i % 50)
        await add(delivery)
      }),
    )
    expect(await left(w)).toBe(0)
  })

  it('the queue retries as long as any of the locks lasts, also an extended one', async () => {
    const w = world()
    const all = await claim(w, 3)
    let endsAt = performance.now() + 200
    setTimeout(() => {
      endsAt = performance.now() + LOCK_MS
    }, 100)
    const from = performance.now()
    const { add } = queueOn(w, async () => {
      if (performance.now() - from < 500) throw away()
    })
    const past = performance.now() - 1
    await Promise.all(all.map((delivery, i) => add(delivery, DELIVERED, i === 1 ? () => endsAt : () => past)))
    expect(await left(w)).toBe(0)
  })

  it('the queue drops a batch whose locks have all ended, and settles later ones', async () => {
    const w = world()
    const [a, b] = await claim(w, 2)
    if (a === undefined || b === undefined) throw new Error('nothing was claimed')
    const { add, noted } = queueOn(w, async (call) => {
      if (call === 1) throw away()
    })
    await add(a, DELIVERED, () => 0)
    expect(await left(w)).toBe(2)
    await add(b)
    expect(await w.client.hkeys(w.keys.messages)).toEqual([a.id])
    expect(noted.of('delivered webhook')).toBe(1)
  })

  it('the queue tries each a last time when the service ends', async () => {
    const w = world()
    const all = await claim(w, 3)
    const ending = new AbortController()
    ending.abort()
    const { add, calls } = queueOn(w, async () => Promise.reject(away()), ending.signal)
    await Promise.all(all.map((delivery) => add(delivery)))
    expect(calls).toEqual([{ shard: 0, count: 3 }])
  })
})
