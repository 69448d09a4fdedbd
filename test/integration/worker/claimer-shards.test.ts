import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, inject, it } from 'vitest'
import {
  answerAfter,
  claimingOn,
  consoleTaking,
  DELIVERED,
  scheduleWebhooks,
} from '../../support/claiming.ts'
import { storedCount, useScripts } from '../../support/script-world.ts'
import { raise, shardMapOf } from '../../support/shards.ts'
import { machineMs } from '../../support/speed.ts'
import { until } from '../../support/until.ts'

const world = useScripts(() => inject('redisUrl'))

describe('several shards', () => {
  it('share the slots: none is used twice and none is lost', async () => {
    const w = world()
    const SHARDS = 4
    for (let shard = 0; shard < SHARDS; shard += 1) {
      await scheduleWebhooks(w, ['a.test', 'b.test', 'c.test'], 25, shard)
    }
    const c = claimingOn(w, { shards: SHARDS, total: 5, perHost: 2, answer: answerAfter(2) })
    const from = performance.now()
    c.claimers.start()
    await until('all are sent', () => c.sent.length === 300)
    expect(machineMs(from)).toBeLessThan(10_000)
    // They take turns: halfway, each has had about a quarter.
    const halfway = c.sent.slice(0, 150).map(({ delivery }) => delivery.shard)
    for (let shard = 0; shard < SHARDS; shard += 1) {
      expect(halfway.filter((each) => each === shard).length).toBeGreaterThan(10)
    }
    expect(c.most.inAll).toBeLessThanOrEqual(5)
    expect(c.most.toOne).toBeLessThanOrEqual(2)
    expect(c.offersAtOnce()).toBe(1)
    for (let shard = 0; shard < SHARDS; shard += 1) {
      await until('nothing is left', async () => (await storedCount(w, shard)) === 0)
    }
  })

  it('get slots, too, while one has batch after batch for the console', async () => {
    const w = world()
    const due = (await w.now()) - 1_000
    const BATCHES = 150
    const lines = Array.from({ length: 100 * BATCHES }, (_, i) => w.entry(`line${i}`, due))
    await w.scripts.schedule(0, lines)
    await scheduleWebhooks(w, ['a.test'], 20, 1)
    const got: string[] = []
    let gotWhenSent = 0
    const c = claimingOn(w, {
      ...{ shards: 2, total: 2, limit: 100, console: consoleTaking(got) },
      answer(sent) {
        gotWhenSent = got.length
        answerAfter(2)(sent)
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
    for (let shard = 0; shard < SHARDS; shard += 1) await scheduleWebhooks(w, ['a.test'], 6, shard)
    const c = claimingOn(w, { shards: SHARDS, total: 9, perHost: 1 })
    c.claimers.start()
    for (let i = 1; i <= 15; i += 1) {
      await until('the next is sent', () => c.sent.length === i)
      await until('all have found the host full', () => c.callsOf('hosts') >= SHARDS * i)
      c.sent[i - 1]?.end(DELIVERED)
    }
    const order = c.sent.map(({ delivery }) => delivery.shard)
    // The first got its slot before the others claimed.
    for (let i = 1; i + SHARDS <= 15; i += 1) expect(new Set(order.slice(i, i + SHARDS)).size).toBe(SHARDS)
  })

  it('are not delayed by wakes for shards that this server does not have', async () => {
    const w = world()
    await scheduleWebhooks(w, ['a.test'], 3)
    const c = claimingOn(w, { total: 2, perHost: 1 })
    c.claimers.start()
    await until('the host is full', () => c.sent.length === 1)
    c.claimers.wake(7, 0, 'webhook:https://a.test')
    for (let i = 0; i < 3; i += 1) {
      await until('the next is sent', () => c.sent.length === i + 1, 500)
      c.sent[i]?.end(DELIVERED)
    }
  })

  it('are claimed from when they are added to a running server', async () => {
    const w = world()
    const shardMap = shardMapOf(1)
    const got: string[] = []
    const c = claimingOn(w, { shardMap, console: consoleTaking(got) })
    await w.scripts.schedule(2, [w.entry('waits', (await w.now()) - 5)])
    c.claimers.start()
    await until('it has claimed', () => c.calls.length > 0)
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

  it('claim for the console concurrently', async () => {
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
