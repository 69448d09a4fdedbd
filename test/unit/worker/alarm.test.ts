import { describe, expect, it } from 'vitest'
import { createAlarm } from '../../../src/worker/alarm.ts'
import { nextWaitMs } from '../../../src/worker/claim-call.ts'

const elapsed = async (wait: Promise<void>) => {
  const from = performance.now()
  await wait
  return performance.now() - from
}

describe('an alarm', () => {
  it('rings at the earliest time anybody asked for', async () => {
    const alarm = createAlarm()
    const wait = elapsed(alarm.wait(60_000))
    alarm.wakeWithin(30_000)
    alarm.wakeWithin(20)
    alarm.wakeWithin(10_000)
    const took = await wait
    expect(took).toBeGreaterThanOrEqual(19)
    expect(took).toBeLessThan(5_000)
  })

  it('remembers what was asked for before the wait began', async () => {
    const alarm = createAlarm()
    alarm.reset()
    alarm.wakeWithin(0)
    expect(await elapsed(alarm.wait(60_000))).toBeLessThan(5_000)
  })

  it('forgets it at a reset', async () => {
    const alarm = createAlarm()
    alarm.wakeWithin(0)
    alarm.reset()
    expect(await elapsed(alarm.wait(50))).toBeGreaterThanOrEqual(49)
  })

  it('does not ring at once for a wait longer than timers can be', async () => {
    const alarm = createAlarm()
    let rang = false
    const wait = alarm.wait(2 ** 31 + 5).then(() => {
      rang = true
    })
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(rang).toBe(false)
    alarm.wakeWithin(0)
    await wait
  })
})

describe('the next wait', () => {
  it('is until the next message, but never longer than a second and a little', () => {
    const due = (nextDueInMs: number | null) => ({ nextDueInMs, expiryInMs: null })
    expect(nextWaitMs(due(7), { shards: 1, standbyMs: 0 }, 0.5)).toBe(7)
    expect(nextWaitMs({ nextDueInMs: 7, expiryInMs: 5 }, { shards: 1, standbyMs: 0 }, 0.5)).toBe(5)
    expect(nextWaitMs(due(60 * 24 * 3_600_000), { shards: 1, standbyMs: 0 }, 0.5)).toBe(1_000)
    expect(nextWaitMs(due(null), { shards: 1, standbyMs: 0 }, 0)).toBeCloseTo(900)
    expect(nextWaitMs(due(null), { shards: 1, standbyMs: 0 }, 1)).toBeCloseTo(1_100)
    expect(nextWaitMs(due(null), { shards: 16, standbyMs: 0 }, 0.5)).toBe(16_000)
  })

  it('is longer where another server is on ownership, but never longer than the poll', () => {
    expect(nextWaitMs({ nextDueInMs: 7, expiryInMs: 90 }, { shards: 1, standbyMs: 50 }, 0.5)).toBe(57)
    expect(nextWaitMs({ nextDueInMs: null, expiryInMs: 90 }, { shards: 1, standbyMs: 50 }, 0.5)).toBe(140)
    expect(nextWaitMs({ nextDueInMs: 990, expiryInMs: null }, { shards: 1, standbyMs: 50 }, 0.5)).toBe(1_000)
  })
})
