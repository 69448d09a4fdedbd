import { pino } from 'pino'
import { describe, expect, inject, it } from 'vitest'
import type { BatchSender, Delivery, Outcome } from '../../../src/destinations/delivery.ts'
import { createShardOwnership } from '../../../src/membership/ownership.ts'
import { encodeRecordBody } from '../../../src/records/record.ts'
import { createRedisClock } from '../../../src/store/redis-clock.ts'
import { ClaimErrorLog } from '../../../src/worker/claim-error-log.ts'
import { ConsoleClaimer } from '../../../src/worker/console-claimer.ts'
import { PushClaimer } from '../../../src/worker/push-claimer.ts'
import { SettleQueue } from '../../../src/worker/settle-queue.ts'
import { createSlots } from '../../../src/worker/slots.ts'
import { StreamMover } from '../../../src/worker/stream-mover.ts'
import { noteMetrics } from '../../support/noted-metrics.ts'
import { type ScriptWorld, useScripts } from '../../support/script-world.ts'
import { shardMapOf } from '../../support/shards.ts'
import { UNTOLD } from '../../support/untold.ts'

const LOCK_MS = 60_000
const world = useScripts(() => inject('redisUrl'))
const never = new AbortController().signal
const logger = pino({ level: 'silent' })

/** A destination that records its messages and answers with the outcomes of the test. */
function destination(answer: (delivery: Delivery) => Outcome = () => ({ kind: 'delivered' })) {
  const got: Delivery[] = []
  const deliver: BatchSender['deliver'] = async (batch) => {
    got.push(...batch)
    return batch.map(answer)
  }
  return { got, deliver }
}

/** The dependencies of the claimers of shard 0. Each claims its own kind only. */
function claimersOn(w: ScriptWorld, to: BatchSender, noted = noteMetrics()) {
  const dispatched: [Delivery, number, number][] = []
  const { metrics } = noted
  let tokens = 0
  const deps = {
    scripts: w.scripts,
    clock: createRedisClock(),
    console: to,
    dispatcher: { dispatch: (...args: [Delivery, number, number]) => void dispatched.push(args) },
    settleQueue: new SettleQueue({ ...UNTOLD, scripts: w.scripts, logger, metrics }, never),
    slots: createSlots({ total: 10, perHost: 10, onFree: () => undefined }),
    shardMap: shardMapOf(1),
    ownership: createShardOwnership('test', () => 1),
    errors: new ClaimErrorLog(logger).of('test'),
    events: UNTOLD.events,
    ...{ logger, metrics, lockMs: LOCK_MS, limit: 100, ending: never },
    nextToken: () => `test:${++tokens}`,
  }
  return { deps, dispatched }
}

/** One pass of the console's claimer. @returns its result, once everything is settled */
async function passOn(w: ScriptWorld, to: BatchSender, { noted = noteMetrics(), limit = 100 } = {}) {
  const claimer = new ConsoleClaimer({ ...claimersOn(w, to, noted).deps, limit })
  const pass = await claimer.claimOnce(0)
  await claimer.idle()
  return { ...pass, isStuck: claimer.isStuck() }
}

const report = { at: 1, claim: 1, durationMs: 1 }
const failed = { kind: 'failed', reason: 'no', report } as const

describe('one pass', () => {
  it('delivers due messages and leaves no key of them', async () => {
    const w = world()
    const now = await w.now()
    await w.scripts.schedule(0, [w.entry('a', now - 20), w.entry('b', now + 60_000)])
    const to = destination()
    const pass = await passOn(w, to)
    expect(to.got).toMatchObject([{ id: 'a', dueAt: now - 20, attempt: 1, payload: '"text of a"' }])
    expect(to.got[0]?.lateMs).toBeGreaterThanOrEqual(20)
    expect(pass.nextDueInMs).toBeGreaterThan(50_000)
    expect(await w.client.hkeys(w.keys.messages)).toEqual(['b'])
    expect(await w.lockOf('a')).toBeNull()
  })

  it('schedules a failed message for later, and counts the attempt', async () => {
    const w = world()
    await w.scripts.schedule(0, [w.entry('a', (await w.now()) - 5)])
    const failing = destination(() => failed)
    await passOn(w, failing)
    expect(await w.client.hget(w.keys.attempts, 'a')).toBe('1 0')
    w.pass(1_001)
    const to = destination()
    await passOn(w, to)
    expect(to.got).toMatchObject([{ id: 'a', attempt: 2 }])
    expect(await w.snapshot()).toBe('[[],[],{},{}]')
  })

  it('schedules a returned message at its old time, without an attempt', async () => {
    const w = world()
    await w.scripts.schedule(0, [w.entry('a', (await w.now()) - 5)])
    const before = await w.snapshot()
    const returning = destination(() => ({ kind: 'returned' }))
    await passOn(w, returning)
    expect(await w.snapshot()).toBe(before)
    expect(await w.lockOf('a')).toBeNull()
  })

  it('settles each message of a batch by its own outcome', async () => {
    const w = world()
    const due = (await w.now()) - 5
    await w.scripts.schedule(
      0,
      ['a', 'b', 'c'].map((id) => w.entry(id, due)),
    )
    const outcomes: Record<string, Outcome> = {
      a: { kind: 'delivered' },
      b: failed,
      c: { kind: 'returned' },
    }
    const to = destination(({ id }) => outcomes[id] ?? { kind: 'delivered' })
    await passOn(w, to)
    expect((await w.client.hkeys(w.keys.messages)).sort()).toEqual(['b', 'c'])
    expect(await w.client.hgetall(w.keys.attempts)).toEqual({ b: '1 0' })
  })

  it('changes nothing of a message that another claimer took over during the delivery', async () => {
    const w = world()
    await w.scripts.schedule(0, [w.entry('a', (await w.now()) - 5)])
    let after = ''
    const slow: BatchSender = {
      async deliver(batch) {
        w.pass(LOCK_MS + 1)
        await w.scripts.claim(0, { token: 'other', lockMs: LOCK_MS, limit: 1 })
        after = await w.snapshot()
        return batch.map(() => ({ kind: 'delivered' }))
      },
    }
    await passOn(w, slow)
    expect(await w.snapshot()).toBe(after)
    expect(await w.lockOf('a')).toBe('other')
  })

  it.each([
    'not a record',
    '',
    '5',
    '5{"t":\n1',
    '5 x=1\n"y"',
    '5{"t":7}\n1',
    '5{"d":"null"}\n1',
    '5{"d":"7"}\n1',
    '5\n"y',
    '5\n',
    '5{"n":"x"}\n1',
    '5{"d":"{\\"type\\":\\"webhook\\",\\"url\\":7}"}\n1',
    '99999999999999999\n1',
    '5{"d":"{\\"type\\":\\"pull\\",\\"queue\\":\\"q\\"}"}\n1',
  ])(
    'makes a dead letter of a message whose record (%j) cannot be read, and harms no other',
    async (record) => {
      const w = world()
      const due = (await w.now()) - 5
      await w.client.hset(w.keys.messages, 'broken', record)
      await w.client.zadd(w.keys.scheduled, due, 'broken')
      await w.scripts.schedule(0, [w.entry('a', due), w.entry('z', due)])
      const to = destination()
      await passOn(w, to)
      expect(to.got.map(({ id }) => id)).toEqual(expect.arrayContaining(['a', 'z']))
      expect(await w.client.zscore(w.keys.dead, 'broken')).not.toBeNull()
      expect(await w.client.hget(w.keys.failures, 'broken')).toMatch(/^unreadable\n/)
      // Nor when it is recovered after its server died.
      await w.client.zrem(w.keys.dead, 'broken')
      await w.client.zadd(w.keys.scheduled, due, 'broken')
      await w.scripts.schedule(0, [w.entry('b', due)])
      w.pass(2_000)
      await w.scripts.claim(0, { token: 'dead', lockMs: LOCK_MS, limit: 100 })
      w.pass(LOCK_MS + 1)
      await passOn(w, to)
      expect(to.got.map(({ id }) => id)).toContain('b')
      expect(await w.client.hexists(w.keys.messages, 'b')).toBe(0)
    },
  )

  it('dispatches webhooks one by one, each with the time left of its lock, and no other messages', async () => {
    const w = world()
    const due = (await w.now()) - 5
    const webhook = { type: 'webhook', url: 'https://a.test/hook' } as const
    const body = encodeRecordBody('1', { destination: webhook })
    await w.scripts.schedule(0, [
      ...['x', 'y'].map((id) => ({ id, due: { at: due }, rule: 'any' as const, body })),
      w.entry('a', due),
    ])
    const noted = noteMetrics()
    const to = destination()
    const { deps, dispatched } = claimersOn(w, to, noted)
    const from = performance.now()
    await new PushClaimer(deps).claimOnce(0)
    const sentBy = performance.now()
    expect(to.got).toEqual([])
    expect(dispatched.map(([{ id }]) => id).sort()).toEqual(['x', 'y'])
    for (const [delivery, startBy, lockEndsAt] of dispatched) {
      const token = await w.lockOf(delivery.id)
      expect(delivery).toMatchObject({ shard: 0, token, dueAt: due, attempt: 1, destination: webhook })
      expect(delivery.lane).toBe('webhook:https://a.test')
      expect(lockEndsAt).toBeGreaterThanOrEqual(from + LOCK_MS)
      expect(lockEndsAt).toBeLessThanOrEqual(sentBy + LOCK_MS)
      expect(lockEndsAt - startBy).toBeCloseTo(LOCK_MS / 4)
    }
    expect(new Set(dispatched.map(([{ claim }]) => claim)).size).toBe(2)
    expect(noted.claimBatches).toEqual([2])
    // The dispatcher settles them.
    expect(await w.client.zcard(w.keys.claimed)).toBe(2)
  })

  it('claims at most its limit, and reports the lateness', async () => {
    const w = world()
    const due = (await w.now()) - 5
    await w.scripts.schedule(0, [w.entry('a', due), w.entry('b', due)])
    const to = destination()
    const noted = noteMetrics()
    const pass = await passOn(w, to, { limit: 1, noted })
    expect([to.got.length, pass.nextDueInMs]).toEqual([1, 0])
    expect(pass.lateMs).toBeGreaterThanOrEqual(5)
    expect(noted.lateMs('console')).toEqual([pass.lateMs])
  })

  it('reports recovered, dropped and dead messages of the claim call', async () => {
    const w = world()
    const now = await w.now()
    const expired = encodeRecordBody('1', { notAfter: now - 10, onLate: 'dead-letter' })
    await w.scripts.schedule(0, [
      { id: 'too late', due: { at: now - 500 }, rule: 'any', body: expired },
      w.entry('lost', now - 501),
    ])
    await w.scripts.claim(0, { token: 'dead', lockMs: 1_000, limit: 1 })
    w.pass(1_001)
    const noted = noteMetrics()
    const to = destination()
    await passOn(w, to, { noted })
    expect(to.got.map(({ id, attempt }) => [id, attempt])).toEqual([['lost', 2]])
    expect(['recovered', 'died'].map(noted.of)).toEqual([1, 1])
  })

  it('moves due messages to their streams, and fails those that Redis refuses or that cannot be read', async () => {
    const w = world()
    const due = (await w.now()) - 500
    const body = encodeRecordBody('1', { destination: { type: 'stream', name: 's' } })
    await w.scripts.schedule(0, [{ id: 'moved', due: { at: due }, rule: 'any', body }, w.entry('a', due)])
    await w.client.hset(w.keys.messages, 'broken', 'not a record')
    await w.client.zadd(w.keys.forStreams, due, 'broken')
    const noted = noteMetrics()
    const to = destination()
    const mover = new StreamMover(claimersOn(w, to, noted).deps)
    const pass = await mover.moveOnce(0)
    expect(await w.client.xlen(`${w.keys.streamPrefix}s`)).toBe(1)
    expect([noted.of('delivered stream'), noted.lateMs('stream')]).toEqual([1, [pass.lateMs]])
    expect(pass.lateMs).toBeGreaterThanOrEqual(500)
    expect(await w.client.hget(w.keys.failures, 'broken')).toMatch(/^unreadable\n/)
    expect([to.got, pass.nextDueInMs]).toEqual([[], null])
  })

  it('reports that the destination took nothing, so that the claimer waits', async () => {
    const w = world()
    await w.scripts.schedule(0, [w.entry('a', (await w.now()) - 5)])
    const takesNothing = destination(() => ({ kind: 'returned' }))
    expect((await passOn(w, takesNothing)).isStuck).toBe(true)
    expect((await passOn(w, destination())).isStuck).toBe(false)
    // It was not called.
    await w.client.hset(w.keys.messages, 'broken', 'not a record')
    await w.client.zadd(w.keys.scheduled, 1, 'broken')
    expect((await passOn(w, takesNothing)).isStuck).toBe(false)
  })
})
