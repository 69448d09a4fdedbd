import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, inject, it } from 'vitest'
import { SchedulerError } from '../../../src/domain/errors.ts'
import type { Scripts } from '../../../src/store/scripts/scripts.ts'
import { answerAfter, claimingOn, DELIVERED, hostOf, scheduleWebhooks } from '../../support/claiming.ts'
import { claimedCount, storedCount, useScripts } from '../../support/script-world.ts'
import { machineMs } from '../../support/speed.ts'
import { until } from '../../support/until.ts'

const world = useScripts(() => inject('redisUrl'))

describe('slots', () => {
  it('limit what is claimed and in flight, to one host and in total', async () => {
    const w = world()
    await scheduleWebhooks(w, ['a.test', 'b.test', 'c.test'], 10)
    const c = claimingOn(w, { total: 5, perHost: 2 })
    c.claimers.start()
    await until('all slots are taken', () => c.sent.length === 5)
    expect(await claimedCount(w)).toBe(5)
    expect(c.underWay()).toHaveLength(5)
    while (c.sent.length < 30) {
      const before = c.sent.length
      for (const one of c.underWay()) one.end(DELIVERED)
      await until('others have begun', () => c.sent.length > before)
    }
    for (const one of c.underWay()) one.end(DELIVERED)
    expect(c.most).toEqual({ toOne: 2, inAll: 5 })
    await until('all are acknowledged', async () => (await storedCount(w)) === 0)
    expect(new Set(c.sent.map(({ delivery }) => delivery.id)).size).toBe(30)
    await until('all are counted', () => c.noted.of('delivered webhook') === 30)
  })

  it('lead to the next claim as soon as one is free, before the next poll', async () => {
    const w = world()
    await scheduleWebhooks(w, ['a.test'], 30)
    const c = claimingOn(w, { perHost: 1, answer: answerAfter(1) })
    const from = performance.now()
    c.claimers.start()
    await until('all are sent', () => c.sent.length === 30)
    // With polls alone it would take half a minute.
    expect(machineMs(from)).toBeLessThan(5_000)
    expect(c.most.toOne).toBe(1)
  })

  it('lead to no claim when they become free and no message was held back', async () => {
    const w = world()
    await scheduleWebhooks(w, ['a.test'], 2)
    const c = claimingOn(w, { perHost: 1 })
    c.claimers.start()
    await until('the host is full', () => c.sent.length === 1)
    await delay(20)
    c.sent[0]?.end(DELIVERED)
    await until('the next is sent', () => c.sent.length === 2, 500)
    await delay(20)
    const before = c.calls.length
    c.sent[1]?.end(DELIVERED)
    await delay(100)
    expect(c.calls.length).toBe(before)
  })

  it.each([
    ['a.test', 'A.TEST'],
    ['über.test', 'über.TEST'],
    ['ÜBER.test', 'xn--ber-goa.test'],
    ['a.test', 'a.test.'],
  ])('are the same for %s as for %s', async (one, other) => {
    const w = world()
    await scheduleWebhooks(w, [one], 5)
    await scheduleWebhooks(w, [`${other}:443`, other], 5, 0)
    const c = claimingOn(w, { perHost: 2 })
    c.claimers.start()
    await until('all slots are taken', () => c.sent.length >= 2)
    c.claimers.wakeAll()
    await until('it has claimed again', () => c.callsOf('hosts') >= 2)
    await delay(20)
    expect(c.sent).toHaveLength(2)
  })

  it('lead to the next claim at once when they become free during a claim', async () => {
    const w = world()
    await scheduleWebhooks(w, ['a.test'], 2)
    let mayAnswer = Promise.resolve()
    const scripts: Scripts = {
      ...w.scripts,
      async claimHosts(...args) {
        const reply = await w.scripts.claimHosts(...args)
        await mayAnswer
        return reply
      },
    }
    const c = claimingOn(w, { perHost: 1, scripts })
    c.claimers.start()
    await until('the host is full', () => c.sent.length === 1)
    await delay(20)
    let answer = () => {}
    mayAnswer = new Promise((resolve) => {
      answer = resolve
    })
    c.claimers.wakeAll()
    await until('it claims with no slot', () => c.callsOf('hosts') === 2)
    await delay(20)
    c.sent[0]?.end(DELIVERED)
    await delay(20)
    mayAnswer = Promise.resolve()
    answer()
    await until('the next is sent', () => c.sent.length === 2, 500)
  })

  it('are bounded for a host that hangs', async () => {
    const w = world()
    await scheduleWebhooks(w, ['hangs.test'], 100)
    await scheduleWebhooks(w, ['works.test'], 200)
    const c = claimingOn(w, {
      perHost: 4,
      answer: (sent) => hostOf(sent.delivery) === 'works.test' && answerAfter(1)(sent),
    })
    const from = performance.now()
    c.claimers.start()
    const to = (host: string) => c.sent.filter(({ delivery }) => hostOf(delivery) === host)
    await until('the other has its messages', () => to('works.test').length === 200)
    expect(machineMs(from)).toBeLessThan(5_000)
    expect(to('hangs.test')).toHaveLength(4)
    await until('they are acknowledged', async () => (await storedCount(w)) === 100)
    expect(await claimedCount(w)).toBe(4)
  })

  it('are free again after the claim that held them failed', async () => {
    const w = world()
    let failing = 3
    const scripts: Scripts = {
      ...w.scripts,
      async claimHosts(...args) {
        if (failing-- > 0) throw new SchedulerError('STORE_UNAVAILABLE', 'away')
        return w.scripts.claimHosts(...args)
      },
    }
    await scheduleWebhooks(w, ['a.test'], 3)
    const c = claimingOn(w, { perHost: 3, scripts, answer: answerAfter(1) })
    c.claimers.start()
    await until('all are sent', () => c.sent.length === 3)
  })
})
