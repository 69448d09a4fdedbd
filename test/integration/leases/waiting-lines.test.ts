import { getEventListeners, setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { Cluster } from 'ioredis'
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from 'vitest'
import { SchedulerError } from '../../../src/domain/errors.ts'
import type { RedisLeases } from '../../../src/leases/leases.ts'
import { connect } from '../../../src/store/connect.ts'
import { laneOfQueue } from '../../../src/store/keys.ts'
import { parseRedisUrl } from '../../../src/store/redis-url.ts'
import type { Scripts } from '../../../src/store/scripts/scripts.ts'
import { listenForWakes } from '../../../src/store/wake-listener.ts'
import { noteTimers } from '../../support/noted-timers.ts'
import { pullEntry, pullingOn } from '../../support/pulling.ts'
import { startRedis, type TestRedis } from '../../support/redis.ts'
import { type ScriptWorld, useScripts } from '../../support/script-world.ts'
import { raise, shardMapOf } from '../../support/shards.ts'
import { lostMs, machineMs } from '../../support/speed.ts'
import { until } from '../../support/until.ts'

const world = useScripts(() => inject('redisUrl'))
const idsOf = (all: readonly { id: string }[]) => all.map(({ id }) => id)

/** What became of a promise, and when. */
function watch<T>(promise: Promise<T>) {
  const state: { settled: boolean; afterMs: number } = { settled: false, afterMs: 0 }
  const from = performance.now()
  const settle = () => {
    state.settled = true
    state.afterMs = machineMs(from)
  }
  promise.then(settle, settle)
  return state
}

/** Has the waiting lines hear what the scripts publish, as a server does. */
async function hearWakes(w: ScriptWorld, leases: Pick<RedisLeases, 'wake'>): Promise<void> {
  const connection = connect(parseRedisUrl(inject('redisUrl')))
  onTestFinished(() => connection.close())
  await connection.waitUntilReady(60_000)
  listenForWakes(connection, w.namespace, {
    onWake: (shard, inMs, lane) => leases.wake(shard, inMs, lane),
    onHelp: () => undefined,
    onGap: () => undefined,
  })
  // On a cluster the node that it listens to is any of them.
  const nodes = w.client instanceof Cluster ? w.client.nodes('master') : [w.client]
  await until('it listens', async () => {
    const replies = await Promise.all(
      nodes.map((node) => node.call('PUBSUB', 'NUMSUB', `${w.namespace}:wake`)),
    )
    return replies.some((reply) => Number((reply as [string, number])[1]) === 1)
  })
}

describe('a claim that waits', () => {
  it('gets at once what is due already', async () => {
    const w = world()
    await w.scripts.schedule(0, [pullEntry('a', (await w.now()) - 5)])
    const { claim } = pullingOn(w)
    const from = performance.now()
    expect(idsOf(await claim('jobs', { waitMs: 30_000 }))).toEqual(['a'])
    expect(machineMs(from)).toBeLessThan(1_000)
  })

  it('gets nothing when nothing came in time', async () => {
    const { claim, claims } = pullingOn(world())
    const from = performance.now()
    expect(await claim('jobs', { waitMs: 150 })).toEqual([])
    expect(performance.now() - from).toBeGreaterThanOrEqual(148)
    expect(machineMs(from)).toBeLessThan(1_000)
    expect(claims).toHaveLength(1)
  })

  it('gets a message when it becomes due, known from the claim before, without a wake', async () => {
    const w = world()
    const dueAt = (await w.now()) + 400
    await w.scripts.schedule(0, [pullEntry('a', dueAt)])
    const { claim, claims } = pullingOn(w)
    const from = performance.now()
    const [lease] = await claim('jobs', { waitMs: 10_000 })
    expect(lease).toMatchObject({ id: 'a', dueAt })
    expect((lease?.lateMs ?? 0) - lostMs(from)).toBeLessThan(300)
    // One found when it is due; one or two more if timers were early.
    expect(claims.length).toBeLessThanOrEqual(4)
  })

  it('gets a message that is scheduled meanwhile as soon as that is published', async () => {
    const w = world()
    const { leases, claim } = pullingOn(w)
    await hearWakes(w, leases)
    const answer = claim('jobs', { waitMs: 10_000 })
    await delay(50)
    const due = await w.now()
    await w.scripts.schedule(0, [pullEntry('a', due)])
    const from = performance.now()
    expect(idsOf(await answer)).toEqual(['a'])
    // Well before a peek would have found it.
    expect(machineMs(from)).toBeLessThan(400)
  })

  it('gets a message that another worker releases as soon as it is due again', async () => {
    const w = world()
    await w.scripts.schedule(0, [pullEntry('a', (await w.now()) - 5)])
    const { leases, claim, claimOne } = pullingOn(w)
    await hearWakes(w, leases)
    const lease = await claimOne()
    const answer = claim('jobs', { waitMs: 10_000 })
    await delay(50)
    const from = performance.now()
    await leases.release([lease], 200)
    expect(await answer).toMatchObject([{ id: 'a', attempt: 2 }])
    expect(performance.now() - from).toBeGreaterThanOrEqual(195)
    expect(machineMs(from)).toBeLessThan(600)
  })

  it('gets a message without a wake by the next peek', async () => {
    const w = world()
    const { claim, peeks } = pullingOn(w)
    const answer = claim('jobs', { waitMs: 10_000 })
    await delay(50)
    await w.scripts.schedule(0, [pullEntry('a', await w.now())])
    const watched = watch(answer)
    expect(idsOf(await answer)).toEqual(['a'])
    expect(watched.afterMs).toBeLessThan(1_500)
    expect(peeks()).toBeGreaterThan(0)
  })

  it('gets what is due in one queue of many though no wake came', async () => {
    const w = world()
    const { claim } = pullingOn(w)
    // Others wait for a message that is known, and due later.
    await w.scripts.schedule(0, [pullEntry('later', (await w.now()) + 60_000, 'known')])
    const others = watch(claim('known', { waitMs: 5_000 }))
    const answer = claim('jobs', { waitMs: 5_000 })
    await delay(50)
    await w.scripts.schedule(0, [pullEntry('a', await w.now())])
    expect(idsOf(await answer)).toEqual(['a'])
    expect(others.settled).toBe(false)
  })

  it('costs nothing for what will become due in another queue', async () => {
    const w = world()
    await w.scripts.schedule(0, [pullEntry('later', (await w.now()) + 2_000, 'known')])
    const scripts: Scripts = {
      ...w.scripts,
      async lease(...args) {
        const reply = await w.scripts.lease(...args)
        // So that what is told of the same time by one answer and by another differs.
        await delay(15)
        return reply
      },
    }
    const { claim, claims } = pullingOn(w, { scripts })
    const known = claim('known', { waitMs: 5_000 })
    const others = Array.from({ length: 5 }, (_, i) => claim(`other-${i}`, { waitMs: 2_300 }))
    expect(idsOf(await known)).toEqual(['later'])
    await Promise.all(others)
    expect(claims.filter(({ lane }) => lane !== laneOfQueue('known'))).toHaveLength(5)
  })

  it('gets a message from any of several shards', async () => {
    const w = world()
    const { claim } = pullingOn(w, { shards: 3 })
    for (const shard of [2, 0, 1]) {
      await w.scripts.schedule(shard, [pullEntry(`m${shard}`, (await w.now()) + 100)])
      expect(idsOf(await claim('jobs', { waitMs: 10_000 }))).toEqual([`m${shard}`])
    }
    // By the peek alone, which is into one of them each second.
    const answer = claim('jobs', { waitMs: 10_000 })
    await delay(50)
    await w.scripts.schedule(1, [pullEntry('unheard', await w.now())])
    const watched = watch(answer)
    expect(idsOf(await answer)).toEqual(['unheard'])
    expect(watched.afterMs).toBeLessThan(4_000)
  })

  it('gets a message from a shard that is added meanwhile', async () => {
    const w = world()
    const shardMap = shardMapOf(1)
    const { leases, claim, claims } = pullingOn(w, { shardMap })
    const answer = claim('jobs', { waitMs: 10_000 })
    await until('it waits', () => claims.length > 0)
    await w.scripts.schedule(2, [pullEntry('a', await w.now())])
    // Heard before there is such a shard.
    leases.wake(2, 0, laneOfQueue('jobs'))
    raise(shardMap, 1, 3)
    expect(idsOf(await answer)).toEqual(['a'])
    await w.scripts.schedule(1, [pullEntry('b', await w.now())])
    expect(idsOf(await claim('jobs'))).toEqual(['b'])
  })

  it("gets a message of one of many shards soon after another worker's lock on it has ended", async () => {
    const w = world()
    const { claim } = pullingOn(w, { shardMap: shardMapOf(16) })
    const theirs = pullingOn(w, { shardMap: shardMapOf(16) })
    await w.scripts.schedule(15, [pullEntry('a', await w.now())])
    expect(idsOf(await theirs.claim('jobs', { lockMs: 1_000 }))).toEqual(['a'])
    const from = performance.now()
    expect(await claim('jobs', { waitMs: 15_000 })).toMatchObject([{ id: 'a', attempt: 2 }])
    // In turn the peeks would come there after 16 s.
    expect(machineMs(from)).toBeLessThan(6_000)
  })

  it('is not kept from the messages of one shard by a backlog in another', async () => {
    const w = world()
    const due = (await w.now()) - 60_000
    for (const shard of [0, 2]) {
      await w.scripts.schedule(
        shard,
        Array.from({ length: 50 }, (_, i) => pullEntry(`m${shard}:${i}`, due)),
      )
    }
    await w.scripts.schedule(1, [pullEntry('other', due)])
    const { claim } = pullingOn(w, { shards: 3 })
    // One after another, each a line of its own; and several in one line.
    const one: string[] = []
    for (let i = 0; i < 6; i += 1) one.push(...idsOf(await claim('jobs', { limit: 1, waitMs: 5_000 })))
    expect(one).toContain('other')
    await w.scripts.schedule(1, [pullEntry('another', due)])
    const many = await Promise.all(
      Array.from({ length: 6 }, () => claim('jobs', { limit: 1, waitMs: 5_000 })),
    )
    expect(idsOf(many.flat())).toContain('another')
  })
})

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

  it('get a message once: one has it, the other waits on', async () => {
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

  it('get it once over two servers as well', async () => {
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

  it('do not get what came for one that has gone, which leaves the others their turn', async () => {
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

  it('get what came in the moment in which the one before them went', async () => {
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
    expect(await first).toEqual([])
    expect(await second).toMatchObject([{ id: 'a', attempt: 1 }])
    expect(await w.client.exists(w.keys.attempts)).toBe(0)
  })
})

describe('while Redis is away', () => {
  it('a new claim is refused, and a waiting one gets what is due once Redis is back', async () => {
    const w = world()
    let isAway = false
    const scripts: Scripts = {
      ...w.scripts,
      async lease(...args) {
        if (isAway) throw new SchedulerError('STORE_UNAVAILABLE', 'away')
        return w.scripts.lease(...args)
      },
    }
    const { leases, claim, claims } = pullingOn(w, { scripts })
    const waits = claim('jobs', { waitMs: 10_000 })
    await until('it waits', () => claims.length === 1)
    isAway = true
    await expect(claim('elsewhere', { waitMs: 10_000 })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    await w.scripts.schedule(0, [pullEntry('a', await w.now())])
    isAway = false
    const from = performance.now()
    leases.wakeAll()
    expect(idsOf(await waits)).toEqual(['a'])
    expect(machineMs(from)).toBeLessThan(500)
  })

  it('waiting claims are not all refused at once, nor is Redis asked over and over', async () => {
    const w = world()
    const scripts: Scripts = {
      ...w.scripts,
      async lease() {
        throw new SchedulerError('STORE_UNAVAILABLE', 'away')
      },
    }
    const { claim, claims } = pullingOn(w, { scripts })
    const answers = await Promise.allSettled(
      Array.from({ length: 20 }, () => claim('jobs', { waitMs: 1_300 })),
    )
    const rejected = answers.filter(({ status }) => status === 'rejected')
    expect(rejected).toHaveLength(2)
    expect(claims.length).toBeLessThanOrEqual(4)
  })
})

describe('while one shard is away', () => {
  const withoutShard0 = (w: ScriptWorld): Scripts => ({
    ...w.scripts,
    async lease(shard, args) {
      if (shard === 0) throw new SchedulerError('STORE_UNAVAILABLE', 'away')
      return w.scripts.lease(shard, args)
    },
  })

  it('a new claim gets what the others hold', async () => {
    const w = world()
    for (let i = 0; i < 6; i += 1) await w.scripts.schedule(1, [pullEntry(`m${i}`, await w.now())])
    const { claim } = pullingOn(w, { shards: 3, scripts: withoutShard0(w) })
    const has: string[] = []
    for (const waitMs of [0, 0, 0, 5_000, 5_000, 5_000]) {
      has.push(...idsOf(await claim('jobs', { limit: 1, waitMs })))
    }
    expect(has.sort()).toEqual(['m0', 'm1', 'm2', 'm3', 'm4', 'm5'])
  })

  it('a waiting claim gets what comes in the others, but never an answer that all are empty', async () => {
    const w = world()
    const { leases, claim, claims } = pullingOn(w, { shards: 3, scripts: withoutShard0(w) })
    const waits = claim('jobs', { waitMs: 10_000 })
    await until('it has looked everywhere', () => new Set(claims.map(({ shard }) => shard)).size === 3)
    await w.scripts.schedule(2, [pullEntry('a', await w.now())])
    leases.wake(2, 0, laneOfQueue('jobs'))
    expect(idsOf(await waits)).toEqual(['a'])
    await expect(claim('jobs')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  })
})

describe('claims that have ended', () => {
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

  it('leave nothing of a peek that is answered after the last one has gone', async () => {
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

describe('many claims that wait for nothing', () => {
  let redis: TestRedis
  beforeAll(async () => {
    redis = await startRedis({ args: ['--appendonly', 'no'] })
  })
  afterAll(() => redis.stop())
  const own = useScripts(() => redis.url)

  /** Commands that clients sent so far, those of scripts not among them. */
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
    // Any of them is still awake.
    await w.scripts.schedule(shards - 1, [pullEntry('a', await w.now(), 'queue-7')])
    leases.wake(shards - 1, 0, laneOfQueue('queue-7'))
    const woken = performance.now()
    expect(idsOf(await Promise.race(answers))).toEqual(['a'])
    expect(machineMs(woken)).toBeLessThan(500)
    gone.abort()
    expect((await Promise.all(answers)).flat()).toHaveLength(1)
  })
})
