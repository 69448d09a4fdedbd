import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, inject, it } from 'vitest'
import type { Scripts } from '../../../src/store/scripts/scripts.ts'
import { claimingOn, DELIVERED, LOCK_MS, scheduleWebhooks } from '../../support/claiming.ts'
import { storedCount, useScripts } from '../../support/script-world.ts'
import { until } from '../../support/until.ts'

const world = useScripts(() => inject('redisUrl'))

describe('a lock', () => {
  it('lasts as long as the delivery, also many times its lifetime', async () => {
    const w = world()
    await scheduleWebhooks(w, ['a.test'], 1)
    const c = claimingOn(w, { lockMs: LOCK_MS })
    c.claimers.start()
    await until('it is sent', () => c.sent.length === 1)
    const from = performance.now()
    const scores = new Set<string>()
    while (performance.now() - from < 2.3 * LOCK_MS) {
      scores.add((await w.client.zscore(w.keys.claimed, 'a.test:0:0')) ?? 'gone')
      expect(await w.client.pttl(`${w.keys.lockPrefix}a.test:0:0`)).toBeGreaterThan(0)
      await delay(20)
    }
    expect(scores.has('gone')).toBe(false)
    expect(scores.size).toBeGreaterThan(4)
    c.sent[0]?.end(DELIVERED)
    await until('it is acknowledged', async () => (await storedCount(w)) === 0)
    expect(c.sent).toHaveLength(1)
    await until('it is counted', () => c.noted.of('delivered webhook') === 1)
    expect(['recovered', 'locks lost'].map(c.noted.of)).toEqual([0, 0])
  })

  it('cancels its delivery when it is lost, and this server settles nothing', async () => {
    const w = world()
    await scheduleWebhooks(w, ['a.test'], 1)
    const c = claimingOn(w, { lockMs: LOCK_MS })
    c.claimers.start()
    await until('it is sent', () => c.sent.length === 1)
    await w.client.set(`${w.keys.lockPrefix}a.test:0:0`, 'other', 'PX', 60_000)
    await w.client.zadd(w.keys.claimed, (await w.now()) + 60_000, 'a.test:0:0')
    const before = await w.snapshot()
    await until('it is cancelled', () => c.sent[0]?.signal.aborted === true)
    await until('its slot is free', () => c.slots.room().lanes.size === 0)
    await delay(50)
    expect(await w.snapshot()).toBe(before)
    expect(await w.lockOf('a.test:0:0')).toBe('other')
    expect(['locks lost', 'delivered webhook'].map(c.noted.of)).toEqual([1, 0])
  })

  it('leads to no acknowledgement when it is lost, though the delivery succeeds', async () => {
    const w = world()
    await scheduleWebhooks(w, ['a.test'], 1)
    let acknowledged = 0
    const scripts: Scripts = {
      ...w.scripts,
      acknowledge: (...args) => {
        acknowledged += 1
        return w.scripts.acknowledge(...args)
      },
    }
    const c = claimingOn(w, { lockMs: LOCK_MS, scripts, cancelledAs: DELIVERED })
    c.claimers.start()
    await until('it is sent', () => c.sent.length === 1)
    await w.client.del(`${w.keys.lockPrefix}a.test:0:0`)
    await until('it is cancelled', () => c.sent[0]?.hasEnded === true)
    await delay(50)
    expect(acknowledged).toBe(0)
    expect(await storedCount(w)).toBe(1)
  })
})

describe('a delivery that ends while its lock is being extended', () => {
  it('does not count it as lost', async () => {
    const w = world()
    await scheduleWebhooks(w, ['a.test'], 3)
    let extended = 0
    let asked = () => {}
    const acknowledging = new Promise<void>((resolve) => {
      asked = resolve
    })
    const scripts: Scripts = {
      ...w.scripts,
      acknowledge(...args) {
        const reply = w.scripts.acknowledge(...args)
        asked()
        return reply
      },
      async extend(...args) {
        for (const sent of c.underWay()) sent.end(DELIVERED)
        // Sent after it, and answered together with it.
        await acknowledging
        extended += 1
        return w.scripts.extend(...args)
      },
    }
    const c = claimingOn(w, { lockMs: LOCK_MS, scripts })
    c.claimers.start()
    await until('they are acknowledged', async () => extended > 0 && (await storedCount(w)) === 0)
    await delay(20)
    expect(['locks lost', 'delivered webhook'].map(c.noted.of)).toEqual([0, 3])
  })
})
