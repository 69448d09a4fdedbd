import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, inject, it } from 'vitest'
import { SchedulerError } from '../../../src/domain/errors.ts'
import { decodeLeaseToken, encodeLeaseToken } from '../../../src/leases/lease-token.ts'
import { keysOf } from '../../../src/store/keys.ts'
import type { Scripts } from '../../../src/store/scripts/scripts.ts'
import { pullEntry, pullingOn } from '../../support/pulling.ts'
import { type ScriptWorld, useScripts } from '../../support/script-world.ts'
import { machineMs } from '../../support/speed.ts'
import { until } from '../../support/until.ts'

const world = useScripts(() => inject('redisUrl'))
const idsOf = (all: readonly { id: string }[]) => all.map(({ id }) => id)
const left = (w: ScriptWorld, shard = 0) => w.client.hlen(keysOf(shard, w.namespace).messages)

describe('a claim', () => {
  it('leases what is due in its queue, earliest first, and says all of it', async () => {
    const w = world()
    const now = await w.now()
    await w.scripts.schedule(0, [
      pullEntry('b', now - 20),
      pullEntry('a', now - 40),
      pullEntry('later', now + 60_000),
      pullEntry('elsewhere', now - 60, 'other'),
      w.entry('for the console', now - 80),
    ])
    const { claim, noted } = pullingOn(w)
    const claimed = await claim('jobs', { lockMs: 100_000 })
    expect(claimed).toEqual([
      {
        id: 'a',
        token: expect.any(String),
        payload: '"work of a"',
        dueAt: now - 40,
        attemptDueAt: now - 40,
        attempt: 1,
        claim: expect.any(Number),
        lateMs: expect.any(Number),
      },
      expect.objectContaining({ id: 'b', dueAt: now - 20 }),
    ])
    expect(claimed[0]?.lateMs).toBeGreaterThanOrEqual(40)
    expect(claimed[1]?.claim).toBe((claimed[0]?.claim ?? 0) + 1)
    const lockMs = await w.client.pttl(`${w.keys.lockPrefix}a`)
    expect(lockMs).toBeGreaterThan(50_000)
    expect(lockMs).toBeLessThanOrEqual(100_000)
    expect(await w.client.zcard(w.keys.claimed)).toBe(2)
    expect(await claim()).toEqual([])
    expect(idsOf(await claim('other'))).toEqual(['elsewhere'])
    expect(noted.lateMs('pull')).toHaveLength(3)
  })

  it('leases no more than was asked for', async () => {
    const w = world()
    const due = (await w.now()) - 5
    await w.scripts.schedule(
      0,
      Array.from({ length: 10 }, (_, i) => pullEntry(`m${i}`, due)),
    )
    const { claim } = pullingOn(w)
    expect(await claim('jobs', { limit: 3 })).toHaveLength(3)
    expect(await w.client.zcard(w.keys.claimed)).toBe(3)
  })

  it('looks in every shard, in turn, and leases no more than was asked for in all', async () => {
    const w = world()
    const due = (await w.now()) - 5
    for (const shard of [0, 1, 2]) {
      await w.scripts.schedule(
        shard,
        Array.from({ length: 4 }, (_, i) => pullEntry(`m${shard}:${i}`, due)),
      )
    }
    const { claim, claims } = pullingOn(w, { shards: 3 })
    for (let i = 0; i < 3; i += 1) expect(await claim('jobs', { limit: 1 })).toHaveLength(1)
    // None is always the first to be looked into, nor any further than needed.
    expect(claims).toHaveLength(3)
    expect(new Set(claims.map(({ shard }) => shard)).size).toBe(3)
    expect(await claim('jobs', { limit: 7 })).toHaveLength(7)
    expect(new Set(claims.slice(3).map(({ shard }) => shard)).size).toBe(3)
    expect(await claim('jobs', { limit: 7 })).toHaveLength(2)
  })

  it('tells of a retry what it is, and by how much it is late in all', async () => {
    const w = world()
    const now = await w.now()
    await w.scripts.schedule(0, [pullEntry('a', now - 10_000)])
    const { leases, claimOne, noted } = pullingOn(w)
    const first = await claimOne()
    await leases.release([first], 1_000)
    w.pass(1_100)
    const second = await claimOne()
    expect(second).toMatchObject({ attempt: 2, dueAt: now - 10_000 })
    expect(second.lateMs).toBeGreaterThanOrEqual(11_100)
    expect(second.claim).toBeGreaterThan(first.claim)
    expect(noted.lateMs('pull')[1]).toBeLessThan(1_000)
  })

  it.each([
    ['record', (record: string) => `x${record}`],
    ['payload', (record: string) => record.slice(0, -1)],
    ['destination', (record: string) => record.replace('pull:jobs', 'pull:jobs of')],
  ])('makes a dead letter of what has a %s that cannot be read, and leases the rest', async (_, damage) => {
    const w = world()
    const due = (await w.now()) - 5
    await w.scripts.schedule(0, [pullEntry('a', due), pullEntry('broken', due)])
    const record = await w.client.hget(w.keys.messages, 'broken')
    await w.client.hset(w.keys.messages, 'broken', damage(record ?? ''))
    const { claim } = pullingOn(w)
    expect(idsOf(await claim())).toEqual(['a'])
    await until('it is a dead letter', async () => (await w.client.zscore(w.keys.dead, 'broken')) !== null)
    expect(await w.client.hget(w.keys.failures, 'broken')).toBe('unreadable')
    expect(await w.lockOf('broken')).toBeNull()
  })

  it('takes nothing for a client that has gone', async () => {
    const w = world()
    await w.scripts.schedule(0, [pullEntry('a', (await w.now()) - 5)])
    const { claim, claims } = pullingOn(w)
    for (const waitMs of [0, 10_000]) {
      expect(await claim('jobs', { waitMs }, AbortSignal.abort())).toEqual([])
    }
    expect(claims).toEqual([])
  })

  it.each([0, 10_000])(
    '(waiting %i ms) gives back at once what came when its client had gone',
    async (waitMs) => {
      const w = world()
      const due = (await w.now()) - 5
      await w.scripts.schedule(0, [pullEntry('a', due), pullEntry('b', due)])
      const snapshot = () => w.client.zrange(w.keys.laned, '0', '-1', 'WITHSCORES')
      const before = await snapshot()
      const gone = new AbortController()
      const scripts: Scripts = {
        ...w.scripts,
        async lease(...args) {
          const reply = await w.scripts.lease(...args)
          gone.abort()
          return reply
        },
      }
      const { claim } = pullingOn(w, { scripts })
      expect(await claim('jobs', { waitMs }, gone.signal)).toEqual([])
      await until('it is back', async () => (await w.client.zcard(w.keys.claimed)) === 0)
      expect(await snapshot()).toEqual(before)
      expect(await w.client.exists(w.keys.attempts, w.keys.failures)).toBe(0)
      expect(await w.lockOf('a')).toBeNull()
    },
  )

  it('fails when Redis answers too late, and what it had leased goes back', async () => {
    const w = world()
    await w.scripts.schedule(0, [pullEntry('a', (await w.now()) - 5)])
    const scripts: Scripts = {
      ...w.scripts,
      async lease(...args) {
        const reply = await w.scripts.lease(...args)
        await delay(1_400)
        return reply
      },
    }
    const { claim } = pullingOn(w, { scripts })
    await expect(claim('jobs', { lockMs: 600_000 })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    expect(await w.client.zcard(w.keys.claimed)).toBe(1)
    await until('it is back', async () => (await w.client.zcard(w.keys.claimed)) === 0)
    expect(await w.client.zcard(w.keys.laned)).toBe(1)
    expect(await w.client.exists(w.keys.attempts)).toBe(0)
  })

  it('is an error while Redis is away, unless a shard that is there had something', async () => {
    const w = world()
    const down = new Set([0, 1])
    const scripts: Scripts = {
      ...w.scripts,
      async lease(shard, args) {
        if (down.has(shard)) throw new SchedulerError('STORE_UNAVAILABLE', 'away')
        return w.scripts.lease(shard, args)
      },
    }
    const { claim } = pullingOn(w, { scripts, shards: 2 })
    await expect(claim()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    await expect(claim('jobs', { waitMs: 5_000 })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    down.delete(1)
    const due = (await w.now()) - 5
    await w.scripts.schedule(
      1,
      Array.from({ length: 30 }, (_, i) => pullEntry(`m${i}`, due)),
    )
    const answers = await Promise.allSettled([claim('jobs', { limit: 50 }), claim('jobs', { limit: 50 })])
    // One of them looked into the other shard first, and had something before it came to the one that failed.
    expect(answers.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    const got = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value.length] : []))
    expect(got).toEqual([30])
  })
})

describe('the end of a lease', () => {
  async function leased(w: ScriptWorld, ids: readonly string[], shards = 1) {
    const due = (await w.now()) - 5
    for (const [i, id] of ids.entries()) await w.scripts.schedule(i % shards, [pullEntry(id, due)])
    const pulling = pullingOn(w, { shards })
    const all = await pulling.claim('jobs', { limit: 1_000 })
    const of = (id: string) => {
      const found = all.find((lease) => lease.id === id)
      if (found === undefined) throw new Error(`${id} was not leased`)
      return { id, token: found.token }
    }
    return { ...pulling, of, all }
  }
  const foreign = (id: string) => ({
    id,
    token: encodeLeaseToken({ shard: 0, leasedAt: 1, lateMs: 1, claim: 1, secret: 'x'.repeat(22) }),
  })

  it('forgets the message and remembers how late it was leased, if all went well', async () => {
    const w = world()
    const { leases, of, all, noted } = await leased(w, ['a', 'b'])
    w.pass(10_000)
    expect(await leases.acknowledge([of('a'), of('b')])).toEqual([])
    expect(await left(w)).toBe(0)
    const [, lateMs] =
      /^delivered \d+ (\d+) 0 0\n/.exec((await w.client.hget(w.keys.history, 'a')) ?? '') ?? []
    expect(Number(lateMs)).toBe(all.find(({ id }) => id === 'a')?.lateMs)
    expect(['delivered pull', 'locks lost'].map(noted.of)).toEqual([2, 0])
  })

  it.each([
    ['acknowledge', 'delivered pull'],
    ['release', 'failed pull retried'],
    ['extend', ''],
  ] as const)(
    '%s tells what was lost in the order it was asked, and does the rest',
    async (verb, counted) => {
      const w = world()
      const ids = Array.from({ length: 8 }, (_, i) => `m${i}`)
      const { leases, of, noted } = await leased(w, ids, 3)
      await w.client.set(`${keysOf(0, w.namespace).lockPrefix}m3`, 'other')
      const refs = [
        foreign('m0'),
        of('m7'),
        { id: 'm6', token: 'malformed' },
        of('m3'),
        { ...of('m2'), token: of('m2').token.replace(/^2/, '3') }, // a shard that is not there
        of('m4'),
        { id: 'nobody', token: of('m1').token },
        { ...of('m5'), token: of('m1').token }, // the proof of another shard
        of('m1'),
      ]
      const call = {
        acknowledge: () => leases.acknowledge(refs),
        release: () => leases.release(refs, null),
        extend: () => leases.extend(refs, 600_000),
      }
      expect(await call[verb]()).toEqual(['m0', 'm6', 'm3', 'm2', 'nobody', 'm5'])
      expect(noted.of(counted)).toBe(counted === '' ? 0 : 3)
      // What was lost for Redis; malformed tokens are nobody's locks.
      expect(noted.of('locks lost')).toBe(4)
      const done = new Set(['m7', 'm4', 'm1'])
      for (const [i, id] of ids.entries()) {
        const keys = keysOf(i % 3, w.namespace)
        const [lock, pttl] = [
          await w.client.get(keys.lockPrefix + id),
          await w.client.pttl(keys.lockPrefix + id),
        ]
        if (!done.has(id)) {
          expect([id, lock === null, pttl <= 30_000]).toEqual([id, false, true])
        } else if (verb === 'extend') {
          expect(pttl).toBeGreaterThan(590_000)
          expect(Number(await w.client.zscore(keys.claimed, id))).toBeGreaterThan((await w.now()) + 590_000)
        } else {
          expect([id, lock]).toEqual([id, null])
          expect(await w.client.zscore(keys.claimed, id)).toBeNull()
        }
      }
    },
  )

  it('proves each of two leases of one message by itself, in whatever order they come', async () => {
    const w = world()
    for (const order of ['old first', 'new first']) {
      await w.scripts.schedule(0, [pullEntry('a', (await w.now()) - 5)])
      const { leases, claimOne } = pullingOn(w)
      const old = await claimOne('jobs', { lockMs: 1_000 })
      w.pass(1_001)
      const renewed = await claimOne()
      const refs = order === 'old first' ? [old, renewed] : [renewed, old]
      expect([order, await leases.acknowledge(refs)]).toEqual([order, ['a']])
      expect(await left(w)).toBe(0)
    }
  })

  it('is told of the lease that was lost, and not of another with its id', async () => {
    const w = world()
    const { leases, of } = await leased(w, ['a', 'b'])
    const elsewhere = { id: 'a', token: of('a').token.replace(/^0/, '1') }
    // On the other shard nobody holds it.
    const { leases: two } = pullingOn(w, { shards: 2 })
    expect(await two.extend([of('b'), elsewhere, of('a')], 60_000)).toEqual(['a'])
    expect(await leases.acknowledge([of('a'), of('b')])).toEqual([])
  })

  it('counts as lost outside the queue to which the caller is restricted', async () => {
    const w = world()
    const due = (await w.now()) - 5
    await w.scripts.schedule(0, [pullEntry('a', due), pullEntry('b', due, 'other')])
    const { leases, claimOne } = pullingOn(w)
    const [a, b] = [await claimOne('jobs'), await claimOne('other')]
    expect(await leases.acknowledge([a, b], 'third')).toEqual(['a', 'b'])
    expect(await leases.release([b, a], null, 'third')).toEqual(['b', 'a'])
    expect(await leases.extend([a, b], 60_000, 'jobs')).toEqual(['b'])
    // What tells the queue is a part of the proof: changed, it proves nothing.
    const swapped = { id: 'b', token: b.token.slice(0, -6) + a.token.slice(-6) }
    expect(await leases.acknowledge([a, b, swapped], 'jobs')).toEqual(['b', 'b'])
    expect(await left(w)).toBe(1)
    expect(await leases.acknowledge([b], 'other')).toEqual([])
  })

  it('is one call a shard for a thousand at once', async () => {
    const w = world()
    const ids = Array.from({ length: 1_000 }, (_, i) => `m${i}`)
    const due = (await w.now()) - 5
    await w.scripts.schedule(
      0,
      ids.map((id) => pullEntry(id, due)),
    )
    let calls = 0
    const scripts: Scripts = {
      ...w.scripts,
      acknowledge: (...args) => {
        calls += 1
        return w.scripts.acknowledge(...args)
      },
    }
    const { leases, claim } = pullingOn(w, { scripts })
    const all = await claim('jobs', { limit: 1_000 })
    expect(all).toHaveLength(1_000)
    expect(await leases.acknowledge(all)).toEqual([])
    expect([calls, await left(w)]).toEqual([1, 0])
  })

  it('is answered within 1.2 s even if Redis says nothing', async () => {
    const w = world()
    const scripts: Scripts = { ...w.scripts, acknowledge: () => new Promise(() => undefined) }
    const { leases } = pullingOn(w, { scripts })
    const from = performance.now()
    await expect(leases.acknowledge([foreign('a')])).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    expect(machineMs(from)).toBeLessThan(2_000)
  })
})

describe('a release', () => {
  const released = async (w: ScriptWorld, delayMs: number | null, retry = {}) => {
    await w.scripts.schedule(0, [pullEntry('a', (await w.now()) - 5, 'jobs', { retry })])
    const { leases, claimOne, noted } = pullingOn(w)
    const lease = await claimOne()
    const now = await w.now()
    expect(await leases.release([lease], delayMs)).toEqual([])
    const due = Number(await w.client.zscore(w.keys.laned, 'a'))
    return { lease, inMs: due - now, tookMs: (await w.now()) - now, noted, leases, claimOne }
  }

  it('makes the message due again after exactly its delay, and counts as a failure', async () => {
    const w = world()
    const { lease, inMs, tookMs, noted } = await released(w, 90_000)
    expect(inMs).toBeGreaterThanOrEqual(90_000)
    expect(inMs).toBeLessThanOrEqual(90_000 + tookMs)
    expect(await w.client.hget(w.keys.attempts, 'a')).toBe('1 0')
    expect(noted.of('failed pull retried')).toBe(1)
    const [reason, report] = ((await w.client.hget(w.keys.failures, 'a')) ?? '').split('\n')
    expect(reason).toBe('released')
    const { leasedAt } = decodeLeaseToken(lease.token) ?? {}
    expect(JSON.parse(report ?? '')).toEqual({
      at: leasedAt,
      claim: lease.claim,
      durationMs: expect.any(Number),
    })
  })

  it('makes the message due at once with a delay of 0', async () => {
    const w = world()
    const { inMs, tookMs, claimOne } = await released(w, 0)
    expect(inMs).toBeLessThanOrEqual(tookMs)
    expect(await claimOne()).toMatchObject({ id: 'a', attempt: 2 })
  })

  it('follows the retry policy without a delay', async () => {
    const w = world()
    const retry = { minMs: 7_000, factor: 3, jitter: 'none' } as const
    const { inMs, tookMs, claimOne, leases } = await released(w, null, retry)
    expect(inMs).toBeGreaterThanOrEqual(7_000)
    expect(inMs).toBeLessThanOrEqual(7_000 + tookMs)
    w.pass(7_500)
    const second = await claimOne()
    const now = await w.now()
    await leases.release([second], null)
    const due = Number(await w.client.zscore(w.keys.laned, 'a'))
    expect(due - now).toBeGreaterThanOrEqual(21_000)
    expect(due).toBeLessThanOrEqual((await w.now()) + 21_000)
  })

  it.each([null, 0])('makes a dead letter after the last attempt (delay %j)', async (delayMs) => {
    const w = world()
    const { noted } = await released(w, delayMs, { attempts: 1 })
    expect(await w.client.zrange(w.keys.dead, '0', '-1')).toEqual(['a'])
    expect(['failed pull dead', 'failed pull retried'].map(noted.of)).toEqual([1, 0])
  })
})

describe('a lease that runs out', () => {
  it('counts as a recovery, never as a failure, and after MAX_RECOVERIES its message is dead', async () => {
    const w = world()
    await w.scripts.schedule(0, [pullEntry('a', (await w.now()) - 5)])
    const { claim, claimOne, noted, leases } = pullingOn(w)
    for (let recoveries = 0; recoveries <= 3; recoveries += 1) {
      const lease = await claimOne('jobs', { lockMs: 1_000 })
      expect(lease.attempt).toBe(1 + recoveries)
      expect(await w.client.hget(w.keys.attempts, 'a')).toBe(recoveries === 0 ? null : `0 ${recoveries}`)
      w.pass(1_001)
    }
    expect(await claim()).toEqual([])
    expect(await w.client.zrange(w.keys.dead, '0', '-1')).toEqual(['a'])
    expect((await w.client.hget(w.keys.failures, 'a'))?.split('\n')[0]).toBe('recoveries')
    expect(['recovered', 'died', 'failed pull retried'].map(noted.of)).toEqual([3, 1, 0])
    expect(await leases.extend([{ id: 'a', token: 'x' }], 1_000)).toEqual(['a'])
  })

  it('can be extended before, and is lost after', async () => {
    const w = world()
    await w.scripts.schedule(0, [pullEntry('a', (await w.now()) - 5)])
    const { leases, claimOne, claim } = pullingOn(w)
    const lease = await claimOne('jobs', { lockMs: 1_000 })
    expect(await leases.extend([lease], 5_000)).toEqual([])
    w.pass(4_500)
    expect(await claim()).toEqual([])
    w.pass(600)
    expect(idsOf(await claim())).toEqual(['a'])
    expect(await leases.acknowledge([lease])).toEqual(['a'])
    expect(await left(w)).toBe(1)
  })
})
