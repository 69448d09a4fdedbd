import { describe, expect, inject, it } from 'vitest'
import { encodeLeaseToken } from '../../../src/leases/lease-token.ts'
import { keysOf } from '../../../src/store/keys.ts'
import type { Scripts } from '../../../src/store/scripts/scripts.ts'
import { checkKeys } from '../../support/invariants.ts'
import { pullEntry, pullingOn } from '../../support/pulling.ts'
import { type ScriptWorld, storedCount, useScripts } from '../../support/script-world.ts'
import { machineMs } from '../../support/speed.ts'

const world = useScripts(() => inject('redisUrl'))
const only = (queue: string) => ({ queue, isOnly: true })

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

  it('deletes an acknowledged message and records its lateness', async () => {
    const w = world()
    const { leases, of, all, noted } = await leased(w, ['a', 'b'])
    w.pass(10_000)
    expect(await leases.acknowledge([of('a'), of('b')])).toEqual([])
    expect(await storedCount(w)).toBe(0)
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
    '%s reports lost leases in the order of the request, and settles the rest',
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
        { ...of('m2'), token: of('m2').token.replace(/^2/, '3') }, // an unknown shard
        of('m4'),
        { id: 'nobody', token: of('m1').token },
        { ...of('m5'), token: of('m1').token }, // the token of a message in another shard
        of('m1'),
      ]
      const call = {
        acknowledge: () => leases.acknowledge(refs),
        release: () => leases.release(refs, null),
        extend: () => leases.extend(refs, 600_000),
      }
      expect(await call[verb]()).toEqual(['m0', 'm6', 'm3', 'm2', 'nobody', 'm5'])
      expect(noted.of(counted)).toBe(counted === '' ? 0 : 3)
      // Those that Redis reported. Malformed tokens name no lock.
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

  it('checks each of two leases of one message by itself, in any order', async () => {
    const w = world()
    for (const order of ['old first', 'new first']) {
      await w.scripts.schedule(0, [pullEntry('a', (await w.now()) - 5)])
      const { leases, claimOne } = pullingOn(w)
      const old = await claimOne('jobs', { lockMs: 1_000 })
      w.pass(1_001)
      const renewed = await claimOne()
      const refs = order === 'old first' ? [old, renewed] : [renewed, old]
      expect([order, await leases.acknowledge(refs)]).toEqual([order, ['a']])
      expect(await storedCount(w)).toBe(0)
    }
  })

  it('reports the lost lease, and not another one with its id', async () => {
    const w = world()
    const { leases, of } = await leased(w, ['a', 'b'])
    const elsewhere = { id: 'a', token: of('a').token.replace(/^0/, '1') }
    // On the other shard nobody has leased it.
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
    expect(await leases.acknowledge([a, b], only('third'))).toEqual(['a', 'b'])
    expect(await leases.release([b, a], null, only('third'))).toEqual(['b', 'a'])
    expect(await leases.extend([a, b], 60_000, only('jobs'))).toEqual(['b'])
    // The queue is a part of the token: a changed one is invalid.
    const swapped = { id: 'b', token: b.token.slice(0, -6) + a.token.slice(-6) }
    expect(await leases.acknowledge([a, b, swapped], only('jobs'))).toEqual(['b', 'b'])
    expect(await storedCount(w)).toBe(1)
    expect(await leases.acknowledge([b], only('other'))).toEqual([])
  })

  it('takes one call a shard for a thousand leases', async () => {
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
    expect([calls, await storedCount(w)]).toEqual([1, 0])
  })

  it('fails within 1.2 s if Redis does not answer', async () => {
    const w = world()
    const scripts: Scripts = { ...w.scripts, acknowledge: () => new Promise(() => undefined) }
    const { leases } = pullingOn(w, { scripts })
    const from = performance.now()
    await expect(leases.acknowledge([foreign('a')])).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    expect(machineMs(from)).toBeLessThan(2_000)
  })
})

describe('a lease that ends without a delivery', () => {
  it('counts as nothing when it is deferred, and its message is due again at once, or after its delay', async () => {
    const w = world()
    await w.scripts.schedule(0, [pullEntry('a', (await w.now()) - 5, 'jobs', { tags: ['t'] })])
    const { leases, claimOne, noted } = pullingOn(w)
    expect(await leases.defer([await claimOne()], 0)).toEqual([])
    const before = await w.now()
    const second = await claimOne()
    expect(second.attempt).toBe(1)
    expect(await leases.defer([second], 60_000)).toEqual([])
    const [found] = await w.scripts.find(0, ['a'])
    expect(found).toMatchObject({ state: 'scheduled', attemptCounts: '', failures: '' })
    expect(found?.score).toBeGreaterThanOrEqual(before + 60_000)
    expect(found?.score).toBeLessThanOrEqual((await w.now()) + 60_000)
    expect(Number(await w.client.zscore(`${w.keys.tagPrefix}t`, 'a'))).toBe(found?.score)
    expect(await leases.defer([second], 0)).toEqual(['a'])
    expect([noted.of('failed pull retried'), noted.of('failed pull dead')]).toEqual([0, 0])
    await checkKeys(w)
  })

  it('makes a dead letter of a rejected message at once, with its reason and its attempt', async () => {
    const w = world()
    const due = (await w.now()) - 5
    await w.scripts.schedule(0, [pullEntry('a', due, 'jobs', { tags: ['t'] }), pullEntry('b', due)])
    const { leases, claim, noted } = pullingOn(w)
    const [a, b] = await claim()
    if (a === undefined || b === undefined) throw new Error('there was nothing to claim')
    expect(await leases.acknowledge([b])).toEqual([])
    expect(await leases.reject([b, a], 'no such customer')).toEqual(['b'])
    const [found] = await w.scripts.find(0, ['a'])
    expect(found).toMatchObject({ state: 'dead', attemptCounts: '1 0' })
    const [reason, report] = (found?.failures ?? '').split('\n')
    expect(reason).toBe('no such customer')
    expect(JSON.parse(report ?? '')).toEqual({
      at: expect.any(Number),
      claim: a.claim,
      durationMs: expect.any(Number),
    })
    expect([noted.of('failed pull retried'), noted.of('failed pull dead')]).toEqual([0, 1])
    await checkKeys(w)
  })
})
