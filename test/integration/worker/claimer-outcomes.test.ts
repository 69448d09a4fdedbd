import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, inject, it } from 'vitest'
import type { Outcome } from '../../../src/destinations/delivery.ts'
import { claimAll } from '../../support/claim-all.ts'
import { answerAfter, claimingOn, DELIVERED, scheduleWebhooks, webhookEntry } from '../../support/claiming.ts'
import { noteTimers } from '../../support/noted-timers.ts'
import { mainRoom } from '../../support/retention.ts'
import { claimedCount, storedCount, useScripts } from '../../support/script-world.ts'
import { machineMs } from '../../support/speed.ts'
import { until } from '../../support/until.ts'

const world = useScripts(() => inject('redisUrl'))

describe('outcomes', () => {
  it('are stored for each webhook by itself', async () => {
    const w = world()
    const report = { at: 1, claim: 1, durationMs: 3 }
    const outcomes: Record<string, Outcome> = {
      good: DELIVERED,
      failed: { kind: 'failed', reason: 'timeout', retryAfterMs: 30_000, report },
      rejected: { kind: 'rejected', reason: 'status 410', report: { ...report, status: 410 } },
    }
    const now = await w.now()
    await w.scripts.schedule(
      0,
      Object.keys(outcomes).map((id) => webhookEntry(id, now - 500)),
    )
    const c = claimingOn(w, { answer: (sent) => sent.end(outcomes[sent.delivery.id] ?? DELIVERED) })
    c.claimers.start()
    await until('all are settled', async () => c.sent.length === 3 && (await claimedCount(w)) === 0)
    expect(await w.client.hget(w.keys.history, 'good')).toMatch(/^delivered/)
    expect(Number(await w.client.zscore(w.keys.laned, 'failed'))).toBeGreaterThanOrEqual(now + 30_000)
    expect(await w.client.zrange(w.keys.dead, '0', '-1')).toEqual(['rejected'])
    expect(c.noted.of('failed webhook retried')).toBe(1)
    expect(c.noted.of('failed webhook dead')).toBe(1)
    expect(c.noted.of('delivered webhook')).toBe(1)
    const lateMs = c.noted.lateMs('webhook')
    expect(lateMs).toHaveLength(3)
    for (const ms of lateMs) expect(ms).toBeGreaterThanOrEqual(500)
    // Each claim has another number.
    expect(new Set(c.sent.map(({ delivery }) => delivery.claim)).size).toBe(3)
  })

  it('count lateness from the time of the retry', async () => {
    const w = world()
    const now = await w.now()
    await w.scripts.schedule(0, [webhookEntry('a', now - 60_000)])
    const first = await claimAll(w.scripts, 0, {
      token: 't',
      lockMs: 60_000,
      room: { ...mainRoom(0), slots: 1, hostSlots: 1 },
    })
    expect(first.claims).toHaveLength(1)
    await w.scripts.release(0, [
      { id: 'a', token: 't', why: 'postponed', delayMs: 50, reason: 'no', report: '' },
    ])
    const c = claimingOn(w, { answer: answerAfter(1) })
    c.claimers.start()
    await until('it is sent', () => c.sent.length === 1)
    expect(c.sent[0]?.delivery).toMatchObject({ attempt: 2, dueAt: now - 60_000 })
    expect(c.sent[0]?.delivery.lateMs).toBeGreaterThanOrEqual(60_000)
    expect(c.noted.lateMs('webhook')[0]).toBeLessThan(30_000)
  })
})

describe('stopping', () => {
  it('returns deliveries in flight, without an attempt', async () => {
    const w = world()
    await scheduleWebhooks(w, ['a.test', 'b.test'], 3)
    const due = await w.client.zrange(w.keys.laned, '0', '-1', 'WITHSCORES')
    const c = claimingOn(w)
    c.claimers.start()
    await until('all are sent', () => c.sent.length === 6)
    const from = performance.now()
    await c.claimers.stop({ graceMs: 50 })
    expect(machineMs(from)).toBeLessThan(2_000)
    expect(c.sent.every(({ signal }) => signal.aborted)).toBe(true)
    expect(await w.client.zrange(w.keys.laned, '0', '-1', 'WITHSCORES')).toEqual(due)
    expect(await claimedCount(w)).toBe(0)
    expect(await w.client.exists(w.keys.attempts, w.keys.failures)).toBe(0)
    expect(await w.lockOf('a.test:0:0')).toBeNull()
    expect(c.underWay()).toEqual([])
  })

  it('lets deliveries end within the grace period, and starts none', async () => {
    const w = world()
    await scheduleWebhooks(w, ['a.test'], 5)
    const c = claimingOn(w, { perHost: 1 })
    c.claimers.start()
    await until('one is sent', () => c.sent.length === 1)
    const stopped = c.claimers.stop({ graceMs: 10_000 })
    await delay(50)
    expect(c.sent[0]?.signal.aborted).toBe(false)
    const from = performance.now()
    c.sent[0]?.end(DELIVERED)
    await stopped
    expect(machineMs(from)).toBeLessThan(2_000)
    expect(c.sent).toHaveLength(1)
    expect(await storedCount(w)).toBe(4)
    expect(await claimedCount(w)).toBe(0)
  })

  it('leaves no timer', async () => {
    const w = world()
    await scheduleWebhooks(w, ['a.test'], 2)
    const timers = noteTimers()
    const c = claimingOn(w, { lockMs: 12_000 })
    c.claimers.start()
    await until('all are sent', () => c.sent.length === 2)
    await delay(20)
    expect(timers()).toBeGreaterThan(0)
    const stopped = c.claimers.stop({ graceMs: 8_000 })
    for (const one of c.sent) one.end(DELIVERED)
    await stopped
    expect(timers()).toBe(0)
  })

  it('is idempotent, also before the start', async () => {
    const c = claimingOn(world())
    await c.claimers.stop({ graceMs: 1_000 })
    await c.claimers.stop({ graceMs: 1_000 })
    expect(c.calls).toEqual([])
  })
})
