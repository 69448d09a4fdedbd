import { pino } from 'pino'
import { describe, expect, inject, it } from 'vitest'
import type { BatchSender, Delivery, Outcome } from '../../../src/destinations/delivery.ts'
import { encodeRecordBody } from '../../../src/records/record.ts'
import { createRedisClock } from '../../../src/store/redis-clock.ts'
import { type ClaimDeps, claimOnce } from '../../../src/worker/claim-once.ts'
import { SettleQueue } from '../../../src/worker/settle-queue.ts'
import { type NotedMetrics, noteMetrics } from '../../support/noted-metrics.ts'
import { mainRoom } from '../../support/retention.ts'
import { type ScriptWorld, useScripts } from '../../support/script-world.ts'

const LOCK_MS = 60_000
const world = useScripts(() => inject('redisUrl'))
const never = new AbortController().signal
const logger = pino({ level: 'silent' })

/** A destination of the test's own, which keeps what it got and answers as told. */
function destination(answer: (delivery: Delivery) => Outcome = () => ({ kind: 'delivered' })) {
  const got: Delivery[] = []
  const deliver: BatchSender['deliver'] = async (batch) => {
    got.push(...batch)
    return batch.map(answer)
  }
  return { got, deliver }
}

/** Those of which a test that has webhooks expects something. */
interface Others {
  readonly noted?: NotedMetrics
  readonly dispatch?: ClaimDeps['dispatcher']['dispatch']
}

let tokens = 0
const deps = (
  w: ScriptWorld,
  to: BatchSender,
  { noted = noteMetrics(), dispatch }: Others = {},
): ClaimDeps => ({
  scripts: w.scripts,
  clock: createRedisClock(),
  console: to,
  dispatcher: {
    dispatch: dispatch ?? ((delivery) => expect.unreachable(`nobody is to be sent ${delivery.id}`)),
  },
  settleQueue: new SettleQueue({ scripts: w.scripts, logger, metrics: noted.metrics }, never),
  logger,
  metrics: noted.metrics,
  lockMs: LOCK_MS,
  nextToken: () => `test:${++tokens}`,
})

const report = { at: 1, claim: 1, durationMs: 1 }
const failed = { kind: 'failed', reason: 'no', report } as const

describe('one pass', () => {
  it('delivers what is due and leaves nothing of it behind', async () => {
    const w = world()
    const now = await w.now()
    await w.scripts.schedule(0, [w.entry('a', now - 20), w.entry('b', now + 60_000)])
    const to = destination()
    const pass = await claimOnce(deps(w, to), 0, mainRoom(), never)
    await pass.settled
    expect(to.got).toMatchObject([{ id: 'a', dueAt: now - 20, attempt: 1, payload: '"text of a"' }])
    expect(to.got[0]?.lateMs).toBeGreaterThanOrEqual(20)
    expect(pass.nextDueInMs).toBeGreaterThan(50_000)
    expect(await w.client.hkeys(w.keys.messages)).toEqual(['b'])
    expect(await w.lockOf('a')).toBeNull()
  })

  it('puts a failed message back for later, and counts the attempt', async () => {
    const w = world()
    await w.scripts.schedule(0, [w.entry('a', (await w.now()) - 5)])
    const failing = destination(() => failed)
    await (await claimOnce(deps(w, failing), 0, mainRoom(), never)).settled
    expect(await w.client.hget(w.keys.attempts, 'a')).toBe('1 0')
    w.pass(1_001)
    const to = destination()
    await (await claimOnce(deps(w, to), 0, mainRoom(), never)).settled
    expect(to.got).toMatchObject([{ id: 'a', attempt: 2 }])
    expect(await w.snapshot()).toBe('[[],[],{},{}]')
  })

  it('puts a returned message back at once, as if nothing had been', async () => {
    const w = world()
    await w.scripts.schedule(0, [w.entry('a', (await w.now()) - 5)])
    const before = await w.snapshot()
    const returning = destination(() => ({ kind: 'returned' }))
    await (await claimOnce(deps(w, returning), 0, mainRoom(), never)).settled
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
    await (await claimOnce(deps(w, to), 0, mainRoom(), never)).settled
    expect((await w.client.hkeys(w.keys.messages)).sort()).toEqual(['b', 'c'])
    expect(await w.client.hgetall(w.keys.attempts)).toEqual({ b: '1 0' })
  })

  it('changes nothing of a message that another claimer took over in mid-delivery', async () => {
    const w = world()
    await w.scripts.schedule(0, [w.entry('a', (await w.now()) - 5)])
    let after = ''
    const slow: BatchSender = {
      async deliver(batch) {
        w.pass(LOCK_MS + 1)
        await w.scripts.claim(0, { token: 'other', lockMs: LOCK_MS, room: mainRoom(1) })
        after = await w.snapshot()
        return batch.map(() => ({ kind: 'delivered' }))
      },
    }
    await (await claimOnce(deps(w, slow), 0, mainRoom(), never)).settled
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
      await (await claimOnce(deps(w, to), 0, mainRoom(), never)).settled
      expect(to.got.map(({ id }) => id)).toEqual(expect.arrayContaining(['a', 'z']))
      expect(await w.client.zscore(w.keys.dead, 'broken')).not.toBeNull()
      expect(await w.client.hget(w.keys.failures, 'broken')).toMatch(/^unreadable\n/)
      // Nor when it is recovered after its server died.
      await w.client.zrem(w.keys.dead, 'broken')
      await w.client.zadd(w.keys.scheduled, due, 'broken')
      await w.scripts.schedule(0, [w.entry('b', due)])
      w.pass(2_000)
      await w.scripts.claim(0, { token: 'dead', lockMs: LOCK_MS, room: mainRoom() })
      w.pass(LOCK_MS + 1)
      await (await claimOnce(deps(w, to), 0, mainRoom(), never)).settled
      expect(to.got.map(({ id }) => id)).toContain('b')
      expect(await w.client.hexists(w.keys.messages, 'b')).toBe(0)
    },
  )

  it('hands webhooks on one by one, each with the time left of its lock, and the rest to the console', async () => {
    const w = world()
    const due = (await w.now()) - 5
    const webhook = { type: 'webhook', url: 'https://a.test/hook' } as const
    const body = encodeRecordBody('1', { destination: webhook })
    await w.scripts.schedule(0, [
      ...['x', 'y'].map((id) => ({ id, due: { at: due }, rule: 'any' as const, body })),
      w.entry('a', due),
    ])
    const dispatched: [Delivery, number, number][] = []
    const noted = noteMetrics()
    const to = destination()
    const from = performance.now()
    const pass = await claimOnce(
      deps(w, to, { noted, dispatch: (...args) => void dispatched.push(args) }),
      0,
      { ...mainRoom(10), slots: 10, hostSlots: 10 },
      never,
    )
    const sentBy = performance.now()
    await pass.settled
    expect(to.got.map(({ id }) => id)).toEqual(['a'])
    expect(dispatched.map(([{ id }]) => id).sort()).toEqual(['x', 'y'])
    for (const [delivery, startBy, lockEndsAt] of dispatched) {
      const token = await w.lockOf(delivery.id)
      expect(delivery).toMatchObject({ shard: 0, token, dueAt: due, attempt: 1, destination: webhook })
      expect(lockEndsAt).toBeGreaterThanOrEqual(from + LOCK_MS)
      expect(lockEndsAt).toBeLessThanOrEqual(sentBy + LOCK_MS)
      expect(lockEndsAt - startBy).toBeCloseTo(LOCK_MS / 4)
    }
    expect(new Set(dispatched.map(([{ claim }]) => claim)).size).toBe(2)
    expect([noted.claimBatches, noted.lateMs('console').length]).toEqual([[3], 1])
    expect(noted.lateMs('console')[0]).toBeGreaterThanOrEqual(5)
    expect(noted.lateMs('console')[0]).toBeLessThan(5_000)
    // Settled by whoever delivers them.
    expect(await w.client.zcard(w.keys.claimed)).toBe(2)
  })

  it('takes only what there is room for', async () => {
    const w = world()
    const due = (await w.now()) - 5
    await w.scripts.schedule(0, [w.entry('a', due), w.entry('b', due)])
    const to = destination()
    const pass = await claimOnce(deps(w, to), 0, mainRoom(1), never)
    await pass.settled
    expect([to.got.length, pass.nextDueInMs, pass.heldBack]).toEqual([1, 0, false])
    const none = await claimOnce(deps(w, to), 0, mainRoom(0), never)
    expect([none.settled, none.nextDueInMs]).toEqual([null, null])
  })

  it('reports what the claim call did besides', async () => {
    const w = world()
    const now = await w.now()
    const expired = encodeRecordBody('1', { notAfter: now - 10, onLate: 'dead-letter' })
    const stream = encodeRecordBody('1', { destination: { type: 'stream', name: 's' } })
    await w.scripts.schedule(0, [
      { id: 'too late', due: { at: now - 500 }, rule: 'any', body: expired },
      { id: 'moved', due: { at: now - 500 }, rule: 'any', body: stream },
      w.entry('lost', now - 500),
    ])
    await w.scripts.claim(0, { token: 'dead', lockMs: 1_000, room: { ...mainRoom(1), streamLimit: 0 } })
    w.pass(1_001)
    const noted = noteMetrics()
    const to = destination()
    await (await claimOnce(deps(w, to, { noted }), 0, mainRoom(), never)).settled
    expect(to.got.map(({ id, attempt }) => [id, attempt])).toEqual([['lost', 2]])
    expect(['recovered', 'died', 'delivered stream'].map(noted.of)).toEqual([1, 1, 1])
    expect(noted.lateMs('stream')[0]).toBeGreaterThanOrEqual(500)
  })

  it('says when the destination took nothing, so that it can be left alone', async () => {
    const w = world()
    await w.scripts.schedule(0, [w.entry('a', (await w.now()) - 5)])
    const pass = async (to: BatchSender) => (await claimOnce(deps(w, to), 0, mainRoom(), never)).settled
    expect(await pass(destination(() => ({ kind: 'returned' })))).toBe(false)
    expect(await pass(destination())).toBe(true)
    // It was not asked.
    await w.client.hset(w.keys.messages, 'broken', 'not a record')
    await w.client.zadd(w.keys.scheduled, 1, 'broken')
    expect(await pass(destination(() => ({ kind: 'returned' })))).toBe(true)
    // Nothing for it was there.
    expect(await pass(destination())).toBeNull()
  })
})
