import { describe, expect, it } from 'vitest'
import type { LaneFacts, ServerFact } from '../../../src/reasons/lane-reason.ts'
import { REASONS } from '../../../src/reasons/reason.ts'
import { type MessageFacts, why } from '../../../src/reasons/why.ts'

const NOW = 1_893_488_400_000
const HOST = 'webhook:https://shop.example.com'
const PAUSE = {
  target: `destination:${HOST}`,
  by: 'ann',
  note: 'migration',
  at: NOW - 60_000,
  until: NOW + 60_000,
}

const MESSAGE: MessageFacts = {
  ...{ now: NOW, state: 'scheduled', score: NOW - 1_000, dueAt: NOW - 1_000, createdAt: NOW - 5_000 },
  ...{ failures: 0, ahead: 7, perSecond: null },
  history: { oldestAt: NOW - 90_000, max: 10_000, ttlMs: 3_600_000 },
}
const FREE: ServerFact = {
  ...{ id: 'one', roles: ['api', 'worker'], stuck: false, fullHosts: [] },
  load: { inFlight: 3, capacity: 10, oldestSince: NOW - 9_000, full: [] },
}
const API_ONLY: ServerFact = { ...FREE, id: 'two', roles: ['api'] }
const FULL_HOST: ServerFact = {
  ...FREE,
  fullHosts: [HOST],
  load: {
    ...{ inFlight: 3, capacity: 10, oldestSince: NOW - 9_000 },
    full: [{ lane: HOST, inFlight: 2, limit: 2, oldestSince: NOW - 8_000 }],
  },
}
const FULL: ServerFact = { ...FREE, load: { inFlight: 10, capacity: 10, oldestSince: NOW - 9_000, full: [] } }
const LANE: LaneFacts = {
  ...{ now: NOW, lane: HOST, pause: undefined, servers: [FREE] },
  ...{ workerHeardAt: NOW - 20_000, askedAt: null },
}

const of = (message: Partial<MessageFacts> = {}, lane: Partial<LaneFacts> = {}) =>
  why({ ...MESSAGE, ...message }, { ...LANE, ...lane })

describe('the reason of a message that is not due', () => {
  const until = NOW + 250_000

  it('is its time', () => {
    expect(of({ score: until, dueAt: until })).toEqual({
      ...{ reason: 'not-due', since: NOW - 5_000, until, details: { dueAt: until } },
      summary: 'It is due at 2030-01-01T09:04:10.000Z, in 4 min 10 s',
    })
  })

  it('is its next attempt, once one has failed', () => {
    const lastAttempt = { at: NOW - 500, claim: 3, durationMs: 100, status: 503 }
    expect(of({ score: until, failures: 2, lastError: 'status 503', lastAttempt })).toEqual({
      ...{ reason: 'waiting-retry', since: NOW - 400, until },
      summary: 'Attempt 2 failed (status 503); the next is at 2030-01-01T09:04:10.000Z, in 4 min 10 s',
      details: { attempt: 2, lastError: 'status 503', nextAttemptAt: until },
    })
  })

  it('is its own time again, when that was changed after a failure', () => {
    expect(of({ score: until, dueAt: until, failures: 2 })).toMatchObject({ reason: 'not-due', until })
  })

  it('names a pause that will hold it', () => {
    for (const failures of [0, 1]) {
      const { details, summary } = of({ score: until, failures }, { pause: PAUSE })
      expect(details).toMatchObject({ paused: PAUSE })
      expect(summary).toMatch(/is paused$/)
    }
  })
})

describe('the reason of a message that is due', () => {
  it('is the first of the list that holds', () => {
    const queue = { lane: 'pull:mails', askedAt: NOW - 60_001 }
    const cases: [string, Partial<LaneFacts>][] = [
      ['paused', { pause: PAUSE, servers: [] }],
      ['paused', { pause: PAUSE, ...queue }],
      ['no-worker', { servers: [{ ...FULL_HOST, roles: ['api'] }] }],
      ['no-puller', { ...queue, servers: [] }],
      ['destination-full', { servers: [{ ...FULL_HOST, ...FULL, fullHosts: [HOST] }] }],
      ['servers-full', { servers: [FULL, API_ONLY] }],
      ['behind', {}],
    ]
    for (const [reason, lane] of cases) expect(of({}, lane).reason, JSON.stringify(lane)).toBe(reason)
  })

  it('tells who paused what, and why', () => {
    expect(of({}, { pause: PAUSE })).toEqual({
      ...{ reason: 'paused', since: PAUSE.at, until: PAUSE.until, details: PAUSE },
      summary: `It is due, but ${PAUSE.target} is paused by ann for 1 min, until 2030-01-01T09:01:00.000Z: migration`,
    })
    expect(of({}, { pause: { ...PAUSE, target: 'all', by: null, note: null, until: null } })).toMatchObject({
      until: null,
      summary: 'It is due, but everything is paused for 1 min',
      details: { target: 'all', at: PAUSE.at },
    })
  })

  it('tells since when no worker was heard of', () => {
    expect(of({}, { servers: [API_ONLY] })).toEqual({
      ...{ reason: 'no-worker', since: NOW - 20_000, until: null },
      summary: 'It is due, but no server with the role worker has been heard of for 20 s',
      details: { workerHeardAt: NOW - 20_000, servers: 1 },
    })
  })

  it('tells since when nobody asked its queue, and a minute is the limit', () => {
    const askedAt = NOW - 60_001
    expect(of({}, { lane: 'pull:mails', askedAt })).toEqual({
      ...{ reason: 'no-puller', since: askedAt, until: null, details: { queue: 'mails', askedAt } },
      summary: 'It is due, but nobody has asked for 1 min queue mails for messages',
    })
    expect(of({}, { lane: 'pull:mails', askedAt: null })).toMatchObject({
      ...{ reason: 'no-puller', since: null, details: { queue: 'mails' } },
    })
    expect(of({}, { lane: 'pull:mails', askedAt: NOW - 60_000 }).reason).toBe('behind')
  })

  it('adds up what is in flight to a full host, and names the oldest', () => {
    const other = { ...FULL_HOST, id: 'three', load: { ...FULL_HOST.load, full: [] } } as ServerFact
    expect(of({}, { servers: [FULL_HOST, other, API_ONLY] })).toEqual({
      ...{ reason: 'destination-full', since: NOW - 8_000, until: null },
      summary: 'It is due, but 2 of 2 are in flight to https://shop.example.com; the oldest has been for 8 s',
      details: { inFlight: 2, limit: 2, oldestSince: NOW - 8_000, server: 'one' },
    })
  })

  it('is no full host while one server has a slot for it', () => {
    expect(of({}, { servers: [FULL_HOST, { ...FREE, id: 'three' }] }).reason).toBe('behind')
  })

  it('is a console that takes nothing, on every server', () => {
    const stuck = { ...FREE, stuck: true }
    expect(of({}, { lane: '', servers: [stuck] })).toMatchObject({
      reason: 'destination-full',
      summary: 'It is due, but the console takes nothing',
    })
    expect(of({}, { lane: '', servers: [stuck, { ...FREE, id: 'three' }] }).reason).toBe('behind')
  })

  it('adds up what is in flight on full servers', () => {
    expect(of({}, { servers: [FULL, { ...FULL, id: 'three' }] })).toMatchObject({
      ...{ reason: 'servers-full', since: NOW - 9_000 },
      details: { inFlight: 20, limit: 20, oldestSince: NOW - 9_000, server: 'one' },
    })
    for (const lane of ['', 'stream']) expect(of({}, { lane, servers: [FULL] }).reason).toBe('behind')
  })

  it('is what was due before it, with an end where the pace is known', () => {
    expect(of()).toEqual({
      ...{ reason: 'behind', since: NOW - 1_000, until: null, details: { ahead: 7 } },
      summary: 'It is due and nothing is in its way; 7 messages were due before it',
    })
    expect(of({ perSecond: 2 })).toMatchObject({ until: NOW + 3_500, details: { ahead: 7, perSecond: 2 } })
  })
})

describe('the reason of a message that is claimed', () => {
  const lockUntil = NOW + 30_000
  const claimed = { state: 'claimed', score: lockUntil } as const
  const holder = { isLease: false, server: 'one', at: NOW - 2_000, isSound: true }

  it('is its delivery', () => {
    expect(of({ ...claimed, holder })).toEqual({
      ...{ reason: 'delivering', since: NOW - 2_000, until: lockUntil },
      summary: 'It is being delivered by server one for 2 s; its lock ends at 2030-01-01T09:00:30.000Z',
      details: { server: 'one', lockUntil },
    })
  })

  it('is its lease', () => {
    expect(of({ ...claimed, holder: { ...holder, isLease: true } })).toMatchObject({
      ...{ reason: 'leased', since: NOW - 2_000, until: lockUntil, details: { server: 'one', lockUntil } },
    })
  })

  it('is its lost lock, when its server is gone or the lock has ended', () => {
    expect(of({ ...claimed, holder: { ...holder, isSound: false } })).toMatchObject({
      ...{ reason: 'lock-lost', until: lockUntil, details: { server: 'one', lockUntil } },
    })
    expect(of({ state: 'claimed', score: NOW, holder })).toMatchObject({ reason: 'lock-lost', until: NOW })
  })
})

describe('the reason of a message that is finished', () => {
  it('is how it ended', () => {
    const delivery = { claim: 3, durationMs: 12, status: 204, server: 'one' }
    expect(of({ state: 'delivered', score: NOW, lateMs: 3, delivery })).toMatchObject({
      ...{ reason: 'delivered', since: NOW, details: { lateMs: 3, ...delivery } },
    })
    expect(of({ state: 'dropped', score: NOW, lateMs: 70_000 })).toMatchObject({
      ...{ reason: 'dropped', details: { lateMs: 70_000 } },
    })
    expect(of({ state: 'cancelled', score: NOW, by: 'ops' })).toMatchObject({
      ...{ reason: 'cancelled', since: NOW, details: { by: 'ops' } },
      summary: 'It was cancelled by ops at 2030-01-01T09:00:00.000Z',
    })
    const lastAttempt = { at: NOW, claim: 3, durationMs: 9, error: 'gone', server: 'one' }
    expect(
      of({ state: 'dead', score: NOW, failures: 1, lastError: 'status 410', lastAttempt }),
    ).toMatchObject({
      ...{ reason: 'dead', since: NOW },
      details: { reason: 'status 410', attempt: 1, lastError: 'gone', server: 'one' },
    })
  })

  it('is unknown, with how far the history reaches', () => {
    expect(of({ state: 'unknown', score: null })).toMatchObject({
      ...{ reason: 'unknown', since: null, until: null },
      details: { historyMax: 10_000, historyTtlMs: 3_600_000, historySince: NOW - 90_000 },
    })
    const history = { oldestAt: null, max: 0, ttlMs: 0 }
    expect(of({ state: 'unknown', score: null, history }).summary).toMatch(/there is no history$/)
  })
})

describe('the closed list', () => {
  it('has 19 words, three of them for flows and order to come', () => {
    expect(REASONS).toHaveLength(19)
    expect(REASONS).toEqual(expect.arrayContaining(['rate-limited', 'flow-full', 'order-blocked']))
  })
})
