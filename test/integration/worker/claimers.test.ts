import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, inject, it } from 'vitest'
import type { BatchSender, Outcome } from '../../../src/destinations/delivery.ts'
import { SchedulerError } from '../../../src/domain/errors.ts'
import { keysOf } from '../../../src/store/keys.ts'
import type { Scripts } from '../../../src/store/scripts/scripts.ts'
import { claimAll } from '../../support/claim-all.ts'
import {
  claimingOn,
  consoleTaking,
  DELIVERED,
  hostOf,
  type Sent,
  webhookEntry,
} from '../../support/claiming.ts'
import { noteTimers } from '../../support/noted-timers.ts'
import { mainRoom } from '../../support/retention.ts'
import { type ScriptWorld, useScripts } from '../../support/script-world.ts'
import { raise, shardMapOf } from '../../support/shards.ts'
import { lostMs, machineMs } from '../../support/speed.ts'
import { until } from '../../support/until.ts'

const world = useScripts(() => inject('redisUrl'))

const soon = (ms: number) => (sent: Sent) => void setTimeout(() => sent.end(DELIVERED), ms)

/** Schedules so many messages for each host, already due. @returns their ids */
async function scheduleDue(w: ScriptWorld, hosts: readonly string[], each: number, shard = 0) {
  const due = (await w.now()) - 1_000
  const entries = hosts.flatMap((host) =>
    Array.from({ length: each }, (_, i) => webhookEntry(`${host}:${shard}:${i}`, due, host)),
  )
  await w.scripts.schedule(shard, entries)
  return entries.map(({ id }) => id)
}

const claimed = (w: ScriptWorld, shard = 0) => w.client.zcard(keysOf(shard, w.namespace).claimed)
/** Long enough that a busy machine lets it be extended in time. */
const LOCK_MS = 3_000

const left = (w: ScriptWorld, shard = 0) => w.client.hlen(keysOf(shard, w.namespace).messages)

describe('slots', () => {
  it('are the most that is claimed and under way, to one host and in all', async () => {
    const w = world()
    await scheduleDue(w, ['a.test', 'b.test', 'c.test'], 10)
    const c = claimingOn(w, { total: 5, perHost: 2 })
    c.claimers.start()
    await until('all slots are taken', () => c.sent.length === 5)
    expect(await claimed(w)).toBe(5)
    expect(c.underWay()).toHaveLength(5)
    while (c.sent.length < 30) {
      const before = c.sent.length
      for (const one of c.underWay()) one.end(DELIVERED)
      await until('others have begun', () => c.sent.length > before)
    }
    for (const one of c.underWay()) one.end(DELIVERED)
    expect(c.most).toEqual({ toOne: 2, inAll: 5 })
    await until('all are acknowledged', async () => (await left(w)) === 0)
    expect(new Set(c.sent.map(({ delivery }) => delivery.id)).size).toBe(30)
    await until('all are counted', () => c.noted.of('delivered webhook') === 30)
  })

  it('lead to the next claim as soon as one is free, not at the poll', async () => {
    const w = world()
    await scheduleDue(w, ['a.test'], 30)
    const c = claimingOn(w, { perHost: 1, answer: soon(1) })
    const from = performance.now()
    c.claimers.start()
    await until('all are sent', () => c.sent.length === 30)
    // With polls alone it would take half a minute.
    expect(machineMs(from)).toBeLessThan(5_000)
    expect(c.most.toOne).toBe(1)
  })

  it('lead to no claim when they become free and nothing was held back', async () => {
    const w = world()
    await scheduleDue(w, ['a.test'], 2)
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
    await scheduleDue(w, [one], 5)
    await scheduleDue(w, [`${other}:443`, other], 5, 0)
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
    await scheduleDue(w, ['a.test'], 2)
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
    await scheduleDue(w, ['hangs.test'], 100)
    await scheduleDue(w, ['works.test'], 200)
    const c = claimingOn(w, {
      perHost: 4,
      answer: (sent) => hostOf(sent.delivery) === 'works.test' && soon(1)(sent),
    })
    const from = performance.now()
    c.claimers.start()
    const to = (host: string) => c.sent.filter(({ delivery }) => hostOf(delivery) === host)
    await until('the other has its messages', () => to('works.test').length === 200)
    expect(machineMs(from)).toBeLessThan(5_000)
    expect(to('hangs.test')).toHaveLength(4)
    await until('they are acknowledged', async () => (await left(w)) === 100)
    expect(await claimed(w)).toBe(4)
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
    await scheduleDue(w, ['a.test'], 3)
    const c = claimingOn(w, { perHost: 3, scripts, answer: soon(1) })
    c.claimers.start()
    await until('all are sent', () => c.sent.length === 3)
  })
})

describe('several shards', () => {
  it('share the slots: none is promised twice and none is forgotten', async () => {
    const w = world()
    const SHARDS = 4
    for (let shard = 0; shard < SHARDS; shard += 1) {
      await scheduleDue(w, ['a.test', 'b.test', 'c.test'], 25, shard)
    }
    const c = claimingOn(w, { shards: SHARDS, total: 5, perHost: 2, answer: soon(2) })
    const from = performance.now()
    c.claimers.start()
    await until('all are sent', () => c.sent.length === 300)
    expect(machineMs(from)).toBeLessThan(10_000)
    // They take turns: halfway, each has had about a quarter of it.
    const halfway = c.sent.slice(0, 150).map(({ delivery }) => delivery.shard)
    for (let shard = 0; shard < SHARDS; shard += 1) {
      expect(halfway.filter((each) => each === shard).length).toBeGreaterThan(10)
    }
    expect(c.most.inAll).toBeLessThanOrEqual(5)
    expect(c.most.toOne).toBeLessThanOrEqual(2)
    expect(c.offersAtOnce()).toBe(1)
    for (let shard = 0; shard < SHARDS; shard += 1) {
      await until('nothing is left', async () => (await left(w, shard)) === 0)
    }
  })

  it('get slots, too, while one has batch after batch for the console', async () => {
    const w = world()
    const due = (await w.now()) - 1_000
    const BATCHES = 150
    const lines = Array.from({ length: 100 * BATCHES }, (_, i) => w.entry(`line${i}`, due))
    await w.scripts.schedule(0, lines)
    await scheduleDue(w, ['a.test'], 20, 1)
    const got: string[] = []
    let gotWhenSent = 0
    const c = claimingOn(w, {
      ...{ shards: 2, total: 2, limit: 100, console: consoleTaking(got) },
      answer(sent) {
        gotWhenSent = got.length
        soon(2)(sent)
      },
    })
    c.claimers.start()
    await until('all are sent', () => c.sent.length === 20)
    await until('all are written', () => got.length === lines.length)
    expect(gotWhenSent).toBeLessThan(lines.length / 2)
  })

  it('take turns at the only slot of a host, while other hosts have free ones', async () => {
    const w = world()
    const SHARDS = 3
    for (let shard = 0; shard < SHARDS; shard += 1) await scheduleDue(w, ['a.test'], 6, shard)
    const c = claimingOn(w, { shards: SHARDS, total: 9, perHost: 1 })
    c.claimers.start()
    for (let i = 1; i <= 15; i += 1) {
      await until('the next is sent', () => c.sent.length === i)
      await until('all have found the host full', () => c.callsOf('hosts') >= SHARDS * i)
      c.sent[i - 1]?.end(DELIVERED)
    }
    const order = c.sent.map(({ delivery }) => delivery.shard)
    // The first got its slot before the others had asked for one.
    for (let i = 1; i + SHARDS <= 15; i += 1) expect(new Set(order.slice(i, i + SHARDS)).size).toBe(SHARDS)
  })

  it('keep nothing from each other when wakes name shards that this server does not have', async () => {
    const w = world()
    await scheduleDue(w, ['a.test'], 3)
    const c = claimingOn(w, { total: 2, perHost: 1 })
    c.claimers.start()
    await until('the host is full', () => c.sent.length === 1)
    c.claimers.wake(7, 0, 'webhook:https://a.test')
    for (let i = 0; i < 3; i += 1) {
      await until('the next is sent', () => c.sent.length === i + 1, 500)
      c.sent[i]?.end(DELIVERED)
    }
  })

  it('are claimed from too when they are added while the loop runs', async () => {
    const w = world()
    const shardMap = shardMapOf(1)
    const got: string[] = []
    const c = claimingOn(w, { shardMap, console: consoleTaking(got) })
    await w.scripts.schedule(2, [w.entry('waits', (await w.now()) - 5)])
    c.claimers.start()
    await until('it has looked', () => c.calls.length > 0)
    raise(shardMap, 1, 3)
    await until('it is delivered', () => got.includes('waits'))
    await w.scripts.schedule(1, [w.entry('comes', (await w.now()) + 10)])
    c.claimers.wake(1, 10, '')
    await until('that is too', () => got.includes('comes'))
    await c.claimers.stop({ graceMs: 1_000 })
    const calls = c.calls.length
    raise(shardMap, 3, 5)
    c.claimers.wakeAll()
    await delay(50)
    expect(c.calls.length).toBe(calls)
  })

  it('claim for the console all at once', async () => {
    const w = world()
    const SHARDS = 4
    const due = (await w.now()) - 5
    for (let shard = 0; shard < SHARDS; shard += 1) {
      await w.scripts.schedule(
        shard,
        Array.from({ length: 50 }, (_, i) => w.entry(`m${shard}:${i}`, due)),
      )
    }
    const got: string[] = []
    const c = claimingOn(w, { shards: SHARDS, limit: 5, console: consoleTaking(got) })
    c.claimers.start()
    await until('all are delivered', () => got.length === 200)
    expect(new Set(got).size).toBe(200)
  })
})

describe.each([1, 4])('a loop that has nothing to do, with %i shards', (shards) => {
  const quiet = async (c: ReturnType<typeof claimingOn>) => {
    const kinds = ['console', 'hosts', 'streams'] as const
    const before = kinds.map(c.callsOf)
    const all = c.calls.length
    await delay(1_400)
    for (const [i, kind] of kinds.entries()) expect(c.callsOf(kind) - (before[i] ?? 0)).toBeLessThanOrEqual(4)
    if (shards === 1) await until('it has claimed again', () => c.calls.length > all, 1_000)
  }

  it('looks about once a second', async () => {
    const c = claimingOn(world(), { shards })
    c.claimers.start()
    await until('it has claimed', () => c.calls.length >= 3 * shards)
    await quiet(c)
  })

  it('looks about once a second while a host is full', async () => {
    const w = world()
    for (let shard = 0; shard < shards; shard += 1) await scheduleDue(w, ['a.test'], 20, shard)
    const c = claimingOn(w, { shards, perHost: 2 })
    c.claimers.start()
    await until('the host is full', () => c.sent.length === 2)
    await quiet(c)
    expect(c.sent).toHaveLength(2)
  })

  it('looks about once a second while all slots are taken', async () => {
    const w = world()
    for (let shard = 0; shard < shards; shard += 1) await scheduleDue(w, ['a.test', 'b.test'], 20, shard)
    const c = claimingOn(w, { shards, total: 3 })
    c.claimers.start()
    await until('all are taken', () => c.sent.length === 3)
    await quiet(c)
    expect(c.sent).toHaveLength(3)
  })
})

describe('a wake', () => {
  it('leads to a claim in time', async () => {
    const w = world()
    const c = claimingOn(w)
    c.claimers.start()
    await until('it sleeps', () => c.calls.length === 3)
    await delay(20)
    c.claimers.wake(0, 0, 'webhook:https://a.test')
    await until('it claims', () => c.callsOf('hosts') === 2, 500)
    expect(c.calls).toHaveLength(4)
  })

  it('leads to no claim for a full host before a slot is free', async () => {
    const w = world()
    await scheduleDue(w, ['a.test'], 1)
    const c = claimingOn(w, { perHost: 1 })
    c.claimers.start()
    await until('the host is full', () => c.sent.length === 1)
    await delay(20)
    await w.scripts.schedule(0, [webhookEntry('next', await w.now(), 'a.test')])
    const before = c.calls.length
    for (let i = 0; i < 8; i += 1) {
      c.claimers.wake(0, 0, 'webhook:https://a.test')
      await delay(15)
    }
    expect(c.calls.length - before).toBeLessThanOrEqual(3) // the polls
    c.sent[0]?.end(DELIVERED)
    await until('the next is sent', () => c.sent[1]?.delivery.id === 'next', 500)
  })

  it('leads to no claim for a queue, whose workers wait elsewhere', async () => {
    const w = world()
    const c = claimingOn(w)
    c.claimers.start()
    await until('it sleeps', () => c.calls.length === 3)
    await delay(20)
    for (let i = 0; i < 100; i += 1) c.claimers.wake(0, 0, 'pull:jobs')
    await delay(100)
    expect(c.calls).toHaveLength(3)
  })
})

describe('a console', () => {
  it('holds up no webhook while it is stuck, and goes on where it stopped', async () => {
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
    const c = claimingOn(w, { limit: 1, console, answer: soon(1) })
    c.claimers.start()
    await until('it has what it may have', () => got.length === 3)
    await scheduleDue(w, ['a.test'], 40)
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

  it('is left alone for a bounded time while it takes nothing', async () => {
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
    // A webhook comes meanwhile, and with it a look for others alone.
    await delay(30)
    c.claimers.wake(0, 0, 'webhook:https://a.test')
    await until('it takes it', () => at.length === 3)
    const lost = lostMs(at[0] ?? 0)
    const waits = [(at[1] ?? 0) - (at[0] ?? 0), (at[2] ?? 0) - (at[1] ?? 0)]
    expect(waits[0]).toBeGreaterThan(70)
    expect((waits[0] ?? 0) - lost).toBeLessThan(600)
    expect(waits[1]).toBeGreaterThan(140)
    expect((waits[1] ?? 0) - lost).toBeLessThan(800)
    await until('it is acknowledged', async () => (await left(w)) === 0)
    expect(await w.client.exists(w.keys.attempts)).toBe(0)
  })
})

describe('a lock', () => {
  it('lasts as long as the delivery, which may be many times its own life', async () => {
    const w = world()
    await scheduleDue(w, ['a.test'], 1)
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
    await until('it is acknowledged', async () => (await left(w)) === 0)
    expect(c.sent).toHaveLength(1)
    await until('it is counted', () => c.noted.of('delivered webhook') === 1)
    expect(['recovered', 'locks lost'].map(c.noted.of)).toEqual([0, 0])
  })

  it('cancels its delivery when it is lost, and this server settles nothing', async () => {
    const w = world()
    await scheduleDue(w, ['a.test'], 1)
    const c = claimingOn(w, { lockMs: LOCK_MS })
    c.claimers.start()
    await until('it is sent', () => c.sent.length === 1)
    await w.client.set(`${w.keys.lockPrefix}a.test:0:0`, 'other', 'PX', 60_000)
    await w.client.zadd(w.keys.claimed, (await w.now()) + 60_000, 'a.test:0:0')
    const before = await w.snapshot()
    await until('it is broken off', () => c.sent[0]?.signal.aborted === true)
    await until('its slot is free', () => c.slots.room().lanes.size === 0)
    await delay(50)
    expect(await w.snapshot()).toBe(before)
    expect(await w.lockOf('a.test:0:0')).toBe('other')
    expect(['locks lost', 'delivered webhook'].map(c.noted.of)).toEqual([1, 0])
  })

  it('leads to no acknowledgement when it is lost, though the delivery succeeds', async () => {
    const w = world()
    await scheduleDue(w, ['a.test'], 1)
    let acknowledged = 0
    const scripts: Scripts = {
      ...w.scripts,
      acknowledge: (...args) => {
        acknowledged += 1
        return w.scripts.acknowledge(...args)
      },
    }
    const c = claimingOn(w, { lockMs: LOCK_MS, scripts, breaksOff: DELIVERED })
    c.claimers.start()
    await until('it is sent', () => c.sent.length === 1)
    await w.client.del(`${w.keys.lockPrefix}a.test:0:0`)
    await until('it is broken off', () => c.sent[0]?.hasEnded === true)
    await delay(50)
    expect(acknowledged).toBe(0)
    expect(await left(w)).toBe(1)
  })
})

describe('a delivery that ends while its lock is being extended', () => {
  it('has not lost it', async () => {
    const w = world()
    await scheduleDue(w, ['a.test'], 3)
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
        // Sent after it, and answered in the same breath.
        await acknowledging
        extended += 1
        return w.scripts.extend(...args)
      },
    }
    const c = claimingOn(w, { lockMs: LOCK_MS, scripts })
    c.claimers.start()
    await until('they are acknowledged', async () => extended > 0 && (await left(w)) === 0)
    await delay(20)
    expect(['locks lost', 'delivered webhook'].map(c.noted.of)).toEqual([0, 3])
  })
})

describe('outcomes', () => {
  it('decide what becomes of a webhook, each of its own', async () => {
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
    await until('all are settled', async () => c.sent.length === 3 && (await claimed(w)) === 0)
    expect(await w.client.hget(w.keys.history, 'good')).toMatch(/^delivered/)
    expect(Number(await w.client.zscore(w.keys.laned, 'failed'))).toBeGreaterThanOrEqual(now + 30_000)
    expect(await w.client.zrange(w.keys.dead, '0', '-1')).toEqual(['rejected'])
    expect(c.noted.of('failed webhook retried')).toBe(1)
    expect(c.noted.of('failed webhook dead')).toBe(1)
    expect(c.noted.of('delivered webhook')).toBe(1)
    const lateMs = c.noted.lateMs('webhook')
    expect(lateMs).toHaveLength(3)
    for (const ms of lateMs) expect(ms).toBeGreaterThanOrEqual(500)
    // The same number for none of them, and each newer than those before.
    expect(new Set(c.sent.map(({ delivery }) => delivery.claim)).size).toBe(3)
  })

  it('are late by the time of the retry after a retry', async () => {
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
    const c = claimingOn(w, { answer: soon(1) })
    c.claimers.start()
    await until('it is sent', () => c.sent.length === 1)
    expect(c.sent[0]?.delivery).toMatchObject({ attempt: 2, dueAt: now - 60_000 })
    expect(c.sent[0]?.delivery.lateMs).toBeGreaterThanOrEqual(60_000)
    expect(c.noted.lateMs('webhook')[0]).toBeLessThan(30_000)
  })
})

describe('stopping', () => {
  it('hands back what is under way, with no attempt used', async () => {
    const w = world()
    await scheduleDue(w, ['a.test', 'b.test'], 3)
    const due = await w.client.zrange(w.keys.laned, '0', '-1', 'WITHSCORES')
    const c = claimingOn(w)
    c.claimers.start()
    await until('all are sent', () => c.sent.length === 6)
    const from = performance.now()
    await c.claimers.stop({ graceMs: 50 })
    expect(machineMs(from)).toBeLessThan(2_000)
    expect(c.sent.every(({ signal }) => signal.aborted)).toBe(true)
    expect(await w.client.zrange(w.keys.laned, '0', '-1', 'WITHSCORES')).toEqual(due)
    expect(await claimed(w)).toBe(0)
    expect(await w.client.exists(w.keys.attempts, w.keys.failures)).toBe(0)
    expect(await w.lockOf('a.test:0:0')).toBeNull()
    expect(c.underWay()).toEqual([])
  })

  it('lets what ends within the grace end, and begins nothing new', async () => {
    const w = world()
    await scheduleDue(w, ['a.test'], 5)
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
    expect(await left(w)).toBe(4)
    expect(await claimed(w)).toBe(0)
  })

  it('leaves no timer behind', async () => {
    const w = world()
    await scheduleDue(w, ['a.test'], 2)
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

  it('is safe before the start, and twice', async () => {
    const c = claimingOn(world())
    await c.claimers.stop({ graceMs: 1_000 })
    await c.claimers.stop({ graceMs: 1_000 })
    expect(c.calls).toEqual([])
  })
})
