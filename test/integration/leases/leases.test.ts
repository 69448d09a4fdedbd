import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, inject, it } from 'vitest'
import { SchedulerError } from '../../../src/domain/errors.ts'
import type { Scripts } from '../../../src/store/scripts/scripts.ts'
import { idsOf, pullEntry, pullingOn } from '../../support/pulling.ts'
import { useScripts } from '../../support/script-world.ts'
import { until } from '../../support/until.ts'

const world = useScripts(() => inject('redisUrl'))

describe('a claim', () => {
  it('leases the due messages of its queue, earliest first, with all their fields', async () => {
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

  it('leases at most its limit', async () => {
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

  it('claims from every shard in turn, and leases at most its limit in total', async () => {
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
    // No shard is always the first one, and no more are called than needed.
    expect(claims).toHaveLength(3)
    expect(new Set(claims.map(({ shard }) => shard)).size).toBe(3)
    expect(await claim('jobs', { limit: 7 })).toHaveLength(7)
    expect(new Set(claims.slice(3).map(({ shard }) => shard)).size).toBe(3)
    expect(await claim('jobs', { limit: 7 })).toHaveLength(2)
  })

  it('reports the attempt of a retry, and its total lateness', async () => {
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
  ])('makes a dead letter of a message with an unreadable %s, and leases the rest', async (_, damage) => {
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

  it('leases nothing for a client that has gone', async () => {
    const w = world()
    await w.scripts.schedule(0, [pullEntry('a', (await w.now()) - 5)])
    const { claim, claims } = pullingOn(w)
    for (const waitMs of [0, 10_000]) {
      expect(await claim('jobs', { waitMs }, AbortSignal.abort())).toEqual([])
    }
    expect(claims).toEqual([])
  })

  it.each([0, 10_000])(
    '(waiting %i ms) returns what a call in flight leased when its client went, to be given back',
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
      const { claim, leases } = pullingOn(w, { scripts })
      const claimed = await claim('jobs', { waitMs }, gone.signal)
      expect(idsOf(claimed)).toEqual(['a', 'b'])
      leases.giveBack(claimed)
      await until('it is put back', async () => (await w.client.zcard(w.keys.claimed)) === 0)
      expect(await snapshot()).toEqual(before)
      expect(await w.client.exists(w.keys.attempts, w.keys.failures)).toBe(0)
      expect(await w.lockOf('a')).toBeNull()
    },
  )

  it('fails when Redis answers too late, and puts its leases back', async () => {
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
    await until('it is put back', async () => (await w.client.zcard(w.keys.claimed)) === 0)
    expect(await w.client.zcard(w.keys.laned)).toBe(1)
    expect(await w.client.exists(w.keys.attempts)).toBe(0)
  })

  it('fails while Redis is unavailable, unless an available shard had messages', async () => {
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
    // One of them called the available shard first, and had messages before the other shard failed.
    expect(answers.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    const got = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value.length] : []))
    expect(got).toEqual([30])
  })
})
