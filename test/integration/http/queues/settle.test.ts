import { describe, expect, inject, it } from 'vitest'
import type { LeaseRef } from '../../../../src/leases/lease.ts'
import { encodeLeaseToken, makeSecret } from '../../../../src/leases/lease-token.ts'
import { laneOfQueue } from '../../../../src/store/keys.ts'
import { pullEntry } from '../../../support/pulling.ts'
import { DEFAULT_LOCK_MS, queuesOn, refusal } from '../../../support/queues-api.ts'
import { type ScriptWorld, useScripts } from '../../../support/script-world.ts'

const world = useScripts(() => inject('redisUrl'))

/** Leases messages of the queue "jobs" for 30 s. @returns what names the leases, and `lose`, which ends one of them */
async function leased(...ids: string[]) {
  const w = world()
  const queues = await queuesOn(w)
  await queues.scheduleDue(...ids)
  const leases = await queues.claim('jobs', { limit: 1_000 })
  const refs = leases.map(({ id, token }): LeaseRef => ({ id, token }))
  const lose = (id: string) => w.client.set(w.keys.lockPrefix + id, 'another claim', 'PX', 60_000)
  return { ...queues, w, refs, lose }
}

const dueInMs = async (w: ScriptWorld, id: string) =>
  Number(await w.client.zscore(w.keys.laned, id)) - (await w.now())

describe.each([
  {
    verb: 'acknowledge',
    done: 'acknowledged',
    more: {},
    isDone: async (w: ScriptWorld, id: string) => (await w.client.hexists(w.keys.messages, id)) === 0,
  },
  {
    verb: 'release',
    done: 'released',
    more: { delay: '90m' },
    isDone: async (w: ScriptWorld, id: string) => (await dueInMs(w, id)) > 3_600_000,
  },
  {
    verb: 'reject',
    done: 'rejected',
    more: { reason: 'no such customer' },
    isDone: async (w: ScriptWorld, id: string) => (await w.client.zscore(w.keys.dead, id)) !== null,
  },
  {
    verb: 'extend',
    done: 'extended',
    more: { lockMs: 7_200_000 },
    isDone: async (w: ScriptWorld, id: string) => (await w.client.pttl(w.keys.lockPrefix + id)) > 3_600_000,
  },
])('POST /v1/queues/:queue/$verb', ({ verb, done, more, isDone }) => {
  it('answers how many, and which were lost', async () => {
    const { w, post, refs, lose } = await leased('a', 'b', 'c')
    await lose('b')
    const { status, body } = await post(`jobs/${verb}`, { messages: refs, ...more })
    expect(status).toBe(200)
    expect(body).toEqual({ [done]: 2, lost: ['b'] })
    expect(await Promise.all(['a', 'b', 'c'].map((id) => isDone(w, id)))).toEqual([true, false, true])
  })

  it('answers 409 with the same members only if all were lost', async () => {
    const { post, refs, lose } = await leased('a', 'b')
    await lose('a')
    await lose('b')
    const { status, type, body } = await post(`jobs/${verb}`, { messages: refs.toReversed(), ...more })
    expect(status).toBe(409)
    expect(type).toMatch(/^application\/problem\+json/)
    expect(body).toEqual({
      type: 'urn:carillon:problem:leases-lost',
      title: 'Conflict',
      status: 409,
      code: 'leases_lost',
      detail: expect.any(String),
      [done]: 0,
      lost: ['b', 'a'],
    })
  })

  it('counts a lease that is named twice once, and one with another token as another', async () => {
    const { w, post, refs } = await leased('a')
    const secret = makeSecret(laneOfQueue('jobs'), { serverId: 's', at: 1 })
    const other = { id: 'a', token: encodeLeaseToken({ shard: 0, leasedAt: 1, lateMs: 0, claim: 1, secret }) }
    const { body } = await post(`jobs/${verb}`, { messages: [...refs, ...refs, other], ...more })
    expect(body).toEqual({ [done]: 1, lost: ['a'] })
    expect(await isDone(w, 'a')).toBe(true)
  })

  it('takes 1,000 leases', async () => {
    const { post, refs } = await leased(...Array.from({ length: 1_000 }, (_, i) => `m${i}`))
    expect((await post(`jobs/${verb}`, { messages: refs, ...more })).body).toEqual({
      [done]: 1_000,
      lost: [],
    })
  })

  it.each<[what: string, body: (ref: LeaseRef) => unknown, path: string, message: RegExp]>([
    ['no messages', () => ({}), '/messages', /is missing/],
    ['no body', () => '', '', /a JSON object/],
    ['an empty list', () => ({ messages: [] }), '/messages', /1 to 1000/],
    [
      '1,001 leases',
      (ref) => ({ messages: Array.from({ length: 1_001 }, () => ref) }),
      '/messages',
      /1 to 1000/,
    ],
    ['a text for a lease', ({ id }) => ({ messages: [id] }), '/messages/0', /id and token/],
    ['no token', ({ id }) => ({ messages: [{ id }] }), '/messages/0/token', /is missing/],
    ['no id', ({ token }) => ({ messages: [{ token }] }), '/messages/0/id', /is missing/],
    ['an id of 129', (ref) => ({ messages: [{ ...ref, id: 'a'.repeat(129) }] }), '/messages/0/id', /id/],
    [
      'a token of 201',
      (ref) => ({ messages: [{ ...ref, token: 't'.repeat(201) }] }),
      '/messages/0/token',
      /token/,
    ],
    [
      'an unknown field of a lease',
      (ref) => ({ messages: [{ ...ref, payload: 1 }] }),
      '/messages/0/payload',
      /unknown field/,
    ],
    ['an unknown field', (ref) => ({ messages: [ref], cause: 'x' }), '/cause', /unknown field/],
  ])('refuses %s, and changes nothing', async (_what, body, path, message) => {
    const { w, post, refs } = await leased('a')
    const before = await w.snapshot()
    for (const ref of refs)
      expect(await post(`jobs/${verb}`, body(ref))).toMatchObject(refusal(path, message))
    expect(refs).toHaveLength(1)
    expect(await w.snapshot()).toBe(before)
  })

  it('refuses what is not the name of a queue', async () => {
    const { post, refs } = await leased('a')
    expect(await post(`a%20b/${verb}`, { messages: refs })).toMatchObject(refusal('/queue', /1 to 128/))
  })
})

describe('a release', () => {
  it.each([
    ['after the wait of the retry policy without a delay', {}, 7_200_000],
    ['at once with a delay of 0', { delay: 0 }, 0],
  ])('makes the message due again %s', async (_what, more, waitMs) => {
    const w = world()
    const { post, claimOne } = await queuesOn(w)
    const retry = { minMs: 7_200_000, maxMs: 7_200_000, jitter: 'none' } as const
    await w.scripts.schedule(0, [pullEntry('a', (await w.now()) - 5, 'jobs', { retry })])
    const { id, token } = await claimOne()
    const from = await w.now()
    await post('jobs/release', { messages: [{ id, token }], ...more })
    const due = Number(await w.client.zscore(w.keys.laned, 'a'))
    expect(due).toBeGreaterThanOrEqual(from + waitMs)
    expect(due).toBeLessThanOrEqual((await w.now()) + waitMs)
  })

  it.each([
    [-1, /0 or more/],
    ['3w', /s, m, h, d/],
    ['99999999d', /9999/],
    [null, /whole milliseconds/],
  ])('is refused with a delay of %j, and changes nothing', async (delay, message) => {
    const { w, post, refs } = await leased('a')
    const before = await w.snapshot()
    expect(await post('jobs/release', { messages: refs, delay })).toMatchObject(refusal('/delay', message))
    expect(await w.snapshot()).toBe(before)
  })
})

describe('an extension', () => {
  it('lasts for the lock time of the server unless the request has another', async () => {
    const { w, post, refs } = await leased('a')
    const from = await w.now()
    await post('jobs/extend', { messages: refs })
    const end = Number(await w.client.zscore(w.keys.claimed, 'a'))
    expect(end).toBeGreaterThanOrEqual(from + DEFAULT_LOCK_MS)
    expect(end).toBeLessThanOrEqual((await w.now()) + DEFAULT_LOCK_MS)
  })

  it.each([999, 43_200_001])('is refused for %i ms, and changes nothing', async (lockMs) => {
    const { w, post, refs } = await leased('a')
    const before = await w.snapshot()
    expect(await post('jobs/extend', { messages: refs, lockMs })).toMatchObject(refusal('/lockMs', /1000/))
    expect(await w.snapshot()).toBe(before)
  })
})

describe('a message that was not tried', () => {
  it('is due again at once, or after a delay, and has no failed attempt', async () => {
    const { w, post, claim, refs } = await leased('a')
    expect(await post('jobs/release', { messages: refs, failed: false })).toMatchObject({
      body: { released: 1, lost: [] },
    })
    expect(await dueInMs(w, 'a')).toBeLessThanOrEqual(0)
    const [again] = await claim('jobs')
    expect(again?.attempt).toBe(1)
    const messages = [{ id: 'a', token: again?.token ?? '' }]
    await post('jobs/release', { messages, failed: false, delay: '90m' })
    expect(await dueInMs(w, 'a')).toBeGreaterThan(3_600_000)
    expect(await w.client.hlen(w.keys.attempts)).toBe(0)
  })
})

describe('a rejected message', () => {
  const reasonOf = async (w: ScriptWorld, id: string) =>
    (await w.client.hget(w.keys.failures, id))?.split('\n')[0]

  it('is a dead letter for the reason that was given, or for none', async () => {
    const { w, post, refs } = await leased('a', 'b')
    const reason = 'kein Empf\u00e4nger \u{1F4EE}'
    await post('jobs/reject', { messages: refs.slice(0, 1), reason })
    await post('jobs/reject', { messages: refs.slice(1) })
    expect([await reasonOf(w, 'a'), await reasonOf(w, 'b')]).toEqual([reason, 'rejected'])
  })

  it.each(['', 'x'.repeat(201), 'two\nlines', 'a \u0000', 5])(
    'is not rejected for the reason %j',
    async (reason) => {
      const { post, refs } = await leased('a')
      expect(await post('jobs/reject', { messages: refs, reason })).toMatchObject(
        refusal('/reason', /1 to 200/),
      )
    },
  )
})
