import { getEventListeners, setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { laneOfQueue } from '../../../src/store/keys.ts'
import type { Scripts } from '../../../src/store/scripts/scripts.ts'
import { noteTimers } from '../../support/noted-timers.ts'
import { hearWakes, idsOf, pullEntry, pullingOn, watch } from '../../support/pulling.ts'
import { startRedis, type TestRedis } from '../../support/redis.ts'
import { useScripts } from '../../support/script-world.ts'
import { machineMs } from '../../support/speed.ts'
import { until } from '../../support/until.ts'

const world = useScripts(() => inject('redisUrl'))

describe('claims that wait in one queue', () => {
  it('are served first come first served, one message each', async () => {
    const w = world()
    const { leases, claim } = pullingOn(w)
    await hearWakes(w, leases)
    const order: number[] = []
    const answers = Array.from({ length: 5 }, async (_, i) => {
      const claimed = await claim('jobs', { limit: 1, waitMs: 10_000 })
      order.push(i)
      return idsOf(claimed)
    })
    await delay(50)
    const now = await w.now()
    await w.scripts.schedule(
      0,
      Array.from({ length: 5 }, (_, i) => pullEntry(`m${i}`, now + 20 * i)),
    )
    expect(await Promise.all(answers)).toEqual([['m0'], ['m1'], ['m2'], ['m3'], ['m4']])
    expect(order).toEqual([0, 1, 2, 3, 4])
  })

  it('get a message once: one has it, and the other still waits', async () => {
    const w = world()
    const { leases, claim } = pullingOn(w)
    await hearWakes(w, leases)
    const first = claim('jobs', { waitMs: 2_000 })
    const second = watch(claim('jobs', { waitMs: 10_000 }))
    await delay(20)
    await w.scripts.schedule(0, [pullEntry('a', await w.now())])
    expect(idsOf(await first)).toEqual(['a'])
    await delay(100)
    expect(second.settled).toBe(false)
  })

  it('get a message once, also on two servers', async () => {
    const w = world()
    const [one, two] = [pullingOn(w), pullingOn(w)]
    await hearWakes(w, {
      wake(...args) {
        one.leases.wake(...args)
        two.leases.wake(...args)
      },
    })
    const answers = [one, two].map(({ claim }) => claim('jobs', { waitMs: 800 }))
    await delay(20)
    await w.scripts.schedule(0, [pullEntry('a', await w.now())])
    expect((await Promise.all(answers)).flat()).toHaveLength(1)
  })

  it('get a message that comes after one of them has gone', async () => {
    const w = world()
    const { leases, claim } = pullingOn(w)
    await hearWakes(w, leases)
    const gone = new AbortController()
    const first = claim('jobs', { waitMs: 10_000 }, gone.signal)
    const second = claim('jobs', { waitMs: 10_000 })
    await delay(20)
    gone.abort()
    expect(await first).toEqual([])
    await w.scripts.schedule(0, [pullEntry('a', await w.now())])
    expect(await second).toMatchObject([{ id: 'a', attempt: 1 }])
  })

  it('get a message that comes as the first of them goes: the claim in flight was for it', async () => {
    const w = world()
    const gone = new AbortController()
    let claims = 0
    const scripts: Scripts = {
      ...w.scripts,
      async lease(...args) {
        const reply = await w.scripts.lease(...args)
        claims += 1
        if (reply.claims.length > 0) gone.abort()
        return reply
      },
    }
    const { leases, claim } = pullingOn(w, { scripts })
    await hearWakes(w, leases)
    const first = claim('jobs', { waitMs: 10_000 }, gone.signal)
    const second = claim('jobs', { waitMs: 10_000 })
    await until('they wait', () => claims === 1)
    await w.scripts.schedule(0, [pullEntry('a', await w.now())])
    const claimed = await first
    expect(claimed).toMatchObject([{ id: 'a', attempt: 1 }])
    leases.giveBack(claimed)
    expect(await second).toMatchObject([{ id: 'a', attempt: 1 }])
    expect(await w.client.exists(w.keys.attempts)).toBe(0)
  })
})

describe('ended claims', () => {
  it('leave no listener on their signal and no timer', async () => {
    const w = world()
    const { claim } = pullingOn(w, { shards: 2 })
    const { signal } = new AbortController()
    const timers = noteTimers()
    await w.scripts.schedule(0, [pullEntry('a', await w.now()), pullEntry('later', (await w.now()) + 90_000)])
    await Promise.all(
      Array.from({ length: 10 }, (_, i) => claim(i < 5 ? 'jobs' : 'other', { waitMs: 100 }, signal)),
    )
    expect(getEventListeners(signal, 'abort')).toEqual([])
    await delay(50)
    expect(timers()).toBe(0)
  })

  it('leave no timer after a peek that is answered late', async () => {
    const w = world()
    await w.scripts.schedule(0, [pullEntry('later', (await w.now()) + 90_000)])
    let answer = () => {}
    let peeks = 0
    const scripts: Scripts = {
      ...w.scripts,
      lease: async (shard, args) => ({ ...(await w.scripts.lease(shard, args)), nextDueInMs: null }),
      async peek(shard, lanes) {
        const reply = await w.scripts.peek(shard, lanes)
        peeks += 1
        await new Promise<void>((resolve) => {
          answer = resolve
        })
        return reply
      },
    }
    const gone = new AbortController()
    const { claim } = pullingOn(w, { scripts })
    const timers = noteTimers()
    const waits = claim('jobs', { waitMs: 60_000 }, gone.signal)
    await until('a peek is in flight', () => peeks === 1)
    expect(timers()).toBeGreaterThan(0)
    gone.abort()
    expect(await waits).toEqual([])
    answer()
    await delay(50)
    expect(timers()).toBe(0)
  })
})

describe('many waiting claims', () => {
  let redis: TestRedis
  beforeAll(async () => {
    redis = await startRedis({ args: ['--appendonly', 'no'] })
  })
  afterAll(() => redis.stop())
  const own = useScripts(() => redis.url)

  /** The number of commands that clients sent so far, without those of scripts. */
  async function commands(): Promise<number> {
    const stats = await redis.client.info('commandstats')
    let count = 0
    for (const [, name, calls] of stats.matchAll(/^cmdstat_([\w|]+):calls=(\d+)/gm)) {
      if (/^(evalsha|eval|subscribe|publish|ping)$/.test(name ?? '')) count += Number(calls)
    }
    return count
  }

  it.each([1, 4])('cost Redis one command a second in all, over %i shards', async (shards) => {
    const w = own()
    const { leases, claim, claims } = pullingOn(w, { shards })
    const gone = new AbortController()
    setMaxListeners(0, gone.signal)
    const answers = Array.from({ length: 200 }, (_, i) =>
      claim(`queue-${i % 20}`, { waitMs: 30_000 }, gone.signal),
    )
    await until('all wait', () => claims.length >= 20 * shards)
    await delay(100)
    const before = await commands()
    const from = performance.now()
    await delay(4_000)
    const count = (await commands()) - before
    expect(count).toBeLessThanOrEqual(Math.ceil((performance.now() - from) / 1_000) + 1)
    expect(count).toBeGreaterThanOrEqual(3)
    // All of them still listen.
    await w.scripts.schedule(shards - 1, [pullEntry('a', await w.now(), 'queue-7')])
    leases.wake(shards - 1, 0, laneOfQueue('queue-7'))
    const woken = performance.now()
    expect(idsOf(await Promise.race(answers))).toEqual(['a'])
    expect(machineMs(woken)).toBeLessThan(500)
    gone.abort()
    expect((await Promise.all(answers)).flat()).toHaveLength(1)
  })
})
