import { pino } from 'pino'
import { describe, expect, inject, it } from 'vitest'
import { type ClaimDeps, claimOnce } from '../../src/claim/claim-once.ts'
import type { Delivery, Destination, Outcome } from '../../src/deliver/deliver.ts'
import { createRedisClock } from '../../src/redis/redis-clock.ts'
import { type ScriptWorld, useScripts } from '../support/script-world.ts'

const LOCK_MS = 60_000
const world = useScripts(() => inject('redisUrl'))
const never = new AbortController().signal

/** A destination of the test's own, which keeps what it got and answers as told. */
function destination(answer: (delivery: Delivery) => Outcome = () => ({ kind: 'delivered' })) {
  const got: Delivery[] = []
  const deliver: Destination['deliver'] = async (batch) => {
    got.push(...batch)
    return batch.map(answer)
  }
  return { got, deliver }
}

let tokens = 0
const deps = (w: ScriptWorld, to: Destination): ClaimDeps => ({
  scripts: w.scripts,
  clock: createRedisClock(),
  destination: to,
  logger: pino({ level: 'silent' }),
  limit: 100,
  lockMs: LOCK_MS,
  nextToken: () => `test:${++tokens}`,
})

describe('one pass', () => {
  it('delivers what is due and leaves nothing of it behind', async () => {
    const w = world()
    const now = await w.now()
    await w.scripts.schedule(0, [w.entry('a', now - 20), w.entry('b', now + 60_000)])
    const to = destination()
    const pass = await claimOnce(deps(w, to), 0, never)
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
    const failing = destination(() => ({ kind: 'failed', reason: 'no' }))
    await (await claimOnce(deps(w, failing), 0, never)).settled
    expect(await w.client.hget(w.keys.attempts, 'a')).toBe('1 0')
    w.pass(1_001)
    const to = destination()
    await (await claimOnce(deps(w, to), 0, never)).settled
    expect(to.got).toMatchObject([{ id: 'a', attempt: 2 }])
    expect(await w.snapshot()).toBe('[[],[],{},{}]')
  })

  it('puts a returned message back at once, as if nothing had been', async () => {
    const w = world()
    await w.scripts.schedule(0, [w.entry('a', (await w.now()) - 5)])
    const before = await w.snapshot()
    const returning = destination(() => ({ kind: 'returned' }))
    await (await claimOnce(deps(w, returning), 0, never)).settled
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
      b: { kind: 'failed', reason: 'no' },
      c: { kind: 'returned' },
    }
    const to = destination(({ id }) => outcomes[id] ?? { kind: 'delivered' })
    await (await claimOnce(deps(w, to), 0, never)).settled
    expect((await w.client.hkeys(w.keys.messages)).sort()).toEqual(['b', 'c'])
    expect(await w.client.hgetall(w.keys.attempts)).toEqual({ b: '1 0' })
  })

  it('changes nothing of a message that another claimer took over in mid-delivery', async () => {
    const w = world()
    await w.scripts.schedule(0, [w.entry('a', (await w.now()) - 5)])
    let after = ''
    const slow: Destination = {
      async deliver(batch) {
        w.pass(LOCK_MS + 1)
        await w.scripts.claim(0, { token: 'other', limit: 1, lockMs: LOCK_MS })
        after = await w.snapshot()
        return batch.map(() => ({ kind: 'delivered' }))
      },
    }
    await (await claimOnce(deps(w, slow), 0, never)).settled
    expect(await w.snapshot()).toBe(after)
    expect(await w.lockOf('a')).toBe('other')
  })

  it.each(['not a record', '', '5', '5{"t":\n1', '5 x=1\n"y"', '5{"t":7}\n1'])(
    'keeps a message whose record was spoilt (%j) from harming any other, at every claim of it',
    async (record) => {
      const w = world()
      const due = (await w.now()) - 5
      await w.client.hset(w.keys.messages, 'spoilt', record)
      await w.client.zadd(w.keys.scheduled, due, 'spoilt')
      await w.scripts.schedule(0, [w.entry('a', due), w.entry('z', due)])
      const to = destination()
      await (await claimOnce(deps(w, to), 0, never)).settled
      expect(to.got.map(({ id }) => id)).toEqual(expect.arrayContaining(['a', 'z']))
      // Also when it is recovered after its server died.
      await w.scripts.schedule(0, [w.entry('b', due)])
      w.pass(2_000)
      await w.scripts.claim(0, { token: 'dead', limit: 100, lockMs: LOCK_MS })
      w.pass(LOCK_MS + 1)
      await (await claimOnce(deps(w, to), 0, never)).settled
      expect(to.got.map(({ id }) => id)).toContain('b')
      expect(await w.client.hexists(w.keys.messages, 'b')).toBe(0)
    },
  )

  it('says when the destination took nothing, so that it can be left alone', async () => {
    const w = world()
    await w.scripts.schedule(0, [w.entry('a', (await w.now()) - 5)])
    const returning = destination(() => ({ kind: 'returned' }))
    expect(await (await claimOnce(deps(w, returning), 0, never)).settled).toBe(false)
    expect(await (await claimOnce(deps(w, destination()), 0, never)).settled).toBe(true)
    expect(await (await claimOnce(deps(w, destination()), 0, never)).settled).toBe(true)
  })
})
