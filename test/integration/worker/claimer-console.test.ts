import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, inject, it } from 'vitest'
import type { BatchSender, Outcome } from '../../../src/destinations/delivery.ts'
import { answerAfter, claimingOn, DELIVERED, scheduleWebhooks } from '../../support/claiming.ts'
import { storedCount, useScripts } from '../../support/script-world.ts'
import { lostMs, machineMs } from '../../support/speed.ts'
import { until } from '../../support/until.ts'

const world = useScripts(() => inject('redisUrl'))

describe('a console', () => {
  it('delays no webhook while it is stuck, and then continues where it stopped', async () => {
    const w = world()
    const due = (await w.now()) - 5
    const ids = Array.from({ length: 10 }, (_, i) => `m${i}`)
    await w.scripts.schedule(
      0,
      ids.map((id) => w.entry(id, due)),
    )
    const got: string[] = []
    let writeOn = () => {}
    const stuck = new Promise<void>((resolve) => {
      writeOn = resolve
    })
    const console: BatchSender = {
      async deliver(batch) {
        got.push(...batch.map(({ id }) => id))
        await stuck
        return batch.map(() => DELIVERED)
      },
    }
    const c = claimingOn(w, { limit: 1, console, answer: answerAfter(1) })
    c.claimers.start()
    await until('it has what it may have', () => got.length === 3)
    await scheduleWebhooks(w, ['a.test'], 40)
    c.claimers.wake(0, 0, 'webhook:https://a.test')
    await until('webhooks are delivered', () => c.sent.length === 40)
    expect(got).toHaveLength(3)
    expect(await w.client.zcard(w.keys.scheduled)).toBe(7)
    const from = performance.now()
    writeOn()
    await until('it has all', () => got.length === 10)
    expect(machineMs(from)).toBeLessThan(800)
    expect(got.sort()).toEqual(ids.sort())
  })

  it('is tried again after a short, growing wait while it takes nothing', async () => {
    const w = world()
    await w.scripts.schedule(0, [w.entry('m', (await w.now()) - 5)])
    const at: number[] = []
    const console: BatchSender = {
      async deliver(batch) {
        at.push(performance.now())
        const outcome: Outcome = at.length < 3 ? { kind: 'returned' } : DELIVERED
        return batch.map(() => outcome)
      },
    }
    const c = claimingOn(w, { console })
    c.claimers.start()
    await until('it was asked', () => at.length === 1)
    // A webhook arrives meanwhile: the wake is for hosts only.
    await delay(30)
    c.claimers.wake(0, 0, 'webhook:https://a.test')
    await until('it takes it', () => at.length === 3)
    const lost = lostMs(at[0] ?? 0)
    const waits = [(at[1] ?? 0) - (at[0] ?? 0), (at[2] ?? 0) - (at[1] ?? 0)]
    expect(waits[0]).toBeGreaterThan(70)
    expect((waits[0] ?? 0) - lost).toBeLessThan(600)
    expect(waits[1]).toBeGreaterThan(140)
    expect((waits[1] ?? 0) - lost).toBeLessThan(800)
    await until('it is acknowledged', async () => (await storedCount(w)) === 0)
    expect(await w.client.exists(w.keys.attempts)).toBe(0)
  })
})
