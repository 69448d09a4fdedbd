import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, inject, it } from 'vitest'
import { laneOfQueue } from '../../../src/store/keys.ts'
import type { Scripts } from '../../../src/store/scripts/scripts.ts'
import { hearWakes, idsOf, pullEntry, pullingOn, watch } from '../../support/pulling.ts'
import { useScripts } from '../../support/script-world.ts'
import { raise, shardMapOf } from '../../support/shards.ts'
import { lostMs, machineMs } from '../../support/speed.ts'
import { until } from '../../support/until.ts'

const world = useScripts(() => inject('redisUrl'))

describe('a claim that waits', () => {
  it('gets a due message at once', async () => {
    const w = world()
    await w.scripts.schedule(0, [pullEntry('a', (await w.now()) - 5)])
    const { claim } = pullingOn(w)
    const from = performance.now()
    expect(idsOf(await claim('jobs', { waitMs: 30_000 }))).toEqual(['a'])
    expect(machineMs(from)).toBeLessThan(1_000)
  })

  it('gets nothing when no message comes in time', async () => {
    const { claim, claims } = pullingOn(world())
    const from = performance.now()
    expect(await claim('jobs', { waitMs: 150 })).toEqual([])
    expect(performance.now() - from).toBeGreaterThanOrEqual(148)
    expect(machineMs(from)).toBeLessThan(1_000)
    expect(claims).toHaveLength(1)
  })

  it('gets a message when it becomes due, without a wake, as the claim call told its time', async () => {
    const w = world()
    const dueAt = (await w.now()) + 400
    await w.scripts.schedule(0, [pullEntry('a', dueAt)])
    const { claim, claims } = pullingOn(w)
    const from = performance.now()
    const [lease] = await claim('jobs', { waitMs: 10_000 })
    expect(lease).toMatchObject({ id: 'a', dueAt })
    expect((lease?.lateMs ?? 0) - lostMs(from)).toBeLessThan(300)
    // One call tells when it is due, one gets it; one or two more if timers fire early.
    expect(claims.length).toBeLessThanOrEqual(4)
  })

  it('gets a new message as soon as it is published', async () => {
    const w = world()
    const { leases, claim } = pullingOn(w)
    await hearWakes(w, leases)
    const answer = claim('jobs', { waitMs: 10_000 })
    await delay(50)
    const due = await w.now()
    await w.scripts.schedule(0, [pullEntry('a', due)])
    const from = performance.now()
    expect(idsOf(await answer)).toEqual(['a'])
    // Well before a peek finds it.
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

  it('gets a due message in one queue of many without a wake', async () => {
    const w = world()
    const { claim } = pullingOn(w)
    // Others wait for a known message, which is due later.
    await w.scripts.schedule(0, [pullEntry('later', (await w.now()) + 60_000, 'known')])
    const others = watch(claim('known', { waitMs: 5_000 }))
    const answer = claim('jobs', { waitMs: 5_000 })
    await delay(50)
    await w.scripts.schedule(0, [pullEntry('a', await w.now())])
    expect(idsOf(await answer)).toEqual(['a'])
    expect(others.settled).toBe(false)
  })

  it('makes no call for a message of another queue', async () => {
    const w = world()
    await w.scripts.schedule(0, [pullEntry('later', (await w.now()) + 2_000, 'known')])
    const scripts: Scripts = {
      ...w.scripts,
      async lease(...args) {
        const reply = await w.scripts.lease(...args)
        // So that two answers give different times until the same due time.
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
    // By the peek alone, which is made in one shard each second.
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
    // The wake arrives before the shard exists.
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
    // Peeks alone would reach that shard after 16 s.
    expect(machineMs(from)).toBeLessThan(6_000)
  })

  it('gets messages of one shard despite a backlog in another', async () => {
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
    // One after another, each alone in its line; and several in one line.
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
