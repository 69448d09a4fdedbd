import { describe, expect, inject, it } from 'vitest'
import { decodeLeaseToken } from '../../../src/leases/lease-token.ts'
import { idsOf, pullEntry, pullingOn } from '../../support/pulling.ts'
import { type ScriptWorld, storedCount, useScripts } from '../../support/script-world.ts'

const world = useScripts(() => inject('redisUrl'))

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

describe('an expired lease', () => {
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

  it('can be extended before it expires, and is lost afterwards', async () => {
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
    expect(await storedCount(w)).toBe(1)
  })
})
