import { describe, expect, it } from 'vitest'
import { useApp } from '../../support/app.ts'
import { IN_AN_HOUR, problem } from '../../support/messages-api.ts'
import { operationsApi } from '../../support/operations-api.ts'
import { until } from '../../support/until.ts'

const world = useApp({ WEBHOOK_ALLOW: '127.0.0.1' })
const { send, post, find, begin, ended, run, dryRun } = operationsApi(world)

const HOUR = Date.parse(IN_AN_HOUR)
const webhook = { type: 'webhook', url: 'http://127.0.0.1:9/hooks' }
const LANE = 'webhook:http://127.0.0.1:9'

/** Messages of several tags, destinations and times. */
async function schedule(count: number, prefix = 'm') {
  const all = Array.from({ length: count }, (_, i) =>
    post({
      id: `${prefix}${i}`,
      at: HOUR + 1_000 * i,
      payload: i,
      tags: [i % 2 === 0 ? 'even' : 'odd'],
      ...(i % 3 === 0 ? { destination: webhook } : {}),
    }),
  )
  expect((await Promise.all(all)).every(({ status }) => status === 201)).toBe(true)
}

/** Dead letters, by a worker whose only attempt failed. */
async function bury(count: number, prefix = 'd', tag = 'even') {
  const queue = { type: 'pull', queue: 'q' }
  await Promise.all(
    Array.from({ length: count }, (_, i) =>
      post({ id: `${prefix}${i}`, payload: i, destination: queue, tags: [tag], retry: { attempts: 1 } }),
    ),
  )
  for (let buried = 0; buried < count; ) {
    const { body } = await send('POST', '/v1/queues/q/claim', { limit: 100, waitMs: 5_000 })
    const messages = (body.messages as { id: string; token: string }[]).map(({ id, token }) => ({
      id,
      token,
    }))
    await send('POST', '/v1/queues/q/release', { messages })
    buried += messages.length
  }
}

const get = async (id: string) => (await send('GET', `/v1/messages/${id}`)).body
const idsOf = async (query: string) =>
  ((await send('GET', `/v1/messages?limit=1000&${query}`)).body.messages as { id: string }[]).map(
    ({ id }) => id,
  )

describe('a dry run', () => {
  it.each([
    { action: 'cancel', filter: { tag: 'even' } },
    { action: 'cancel', filter: { destination: LANE } },
    { action: 'cancel', filter: { tag: 'odd', destination: LANE } },
    { action: 'cancel', filter: { idPrefix: 'm1' } },
    { action: 'cancel', filter: { ids: ['m3', 'm4', 'm4', 'nowhere', 'd0'] } },
    { action: 'cancel', filter: { from: HOUR + 5_000, to: HOUR + 9_000 } },
    { action: 'cancel', all: true },
    { action: 'cancel', filter: { status: 'dead' } },
    { action: 'shift', filter: { tag: 'odd' }, byMs: 60_000 },
    { action: 'deliver', filter: { destination: 'console' } },
    { action: 'redrive', filter: { reason: 'released' } },
    { action: 'deliver', filter: { reason: 'released' } },
    { action: 'redrive', all: true },
    { action: 'delete', filter: { tag: 'odd' } },
    { action: 'delete', filter: { destination: 'pull:q' } },
  ])('counts what is then done: %j', async (body) => {
    await schedule(40)
    await bury(6)
    await bury(3, 'e', 'odd')
    const before = await idsOf('status=scheduled')
    const count = await dryRun(body)
    expect(count).toBeGreaterThan(0)
    expect(await idsOf('status=scheduled')).toEqual(before)
    expect(await run(body)).toMatchObject({ state: 'done', matched: count, done: count, failed: 0 })
  })

  it('shows the first three, and nothing where nothing matches', async () => {
    await schedule(5)
    const { body } = await send('POST', '/v1/operations', { action: 'cancel', all: true, dryRun: true })
    expect(body).toMatchObject({
      dryRun: true,
      count: 5,
      first: [{ id: 'm0', payload: 0 }, { id: 'm1' }, { id: 'm2' }],
    })
    const none = { action: 'cancel', filter: { tag: 'none' }, dryRun: true }
    expect((await send('POST', '/v1/operations', none)).body).toEqual({ dryRun: true, count: 0, first: [] })
  })
})

describe('an operation', () => {
  it('cancels what matches and nothing else', async () => {
    await schedule(30)
    const operation = await run({ action: 'cancel', filter: { tag: 'even', destination: LANE } })
    expect(operation).toMatchObject({
      ...{
        action: 'cancel',
        target: `tag=even&destination=${LANE}`,
        state: 'done',
        done: 5,
        startedBy: null,
      },
    })
    expect(operation.finishedAt).not.toBeNull()
    const left = Array.from({ length: 30 }, (_, i) => i).filter((i) => i % 6 !== 0)
    expect(await idsOf('')).toEqual(left.map((i) => `m${i}`))
  })

  it.each([
    [90_000, (i: number) => 1_000 * i + 90_000],
    [-90_000, (i: number) => 1_000 * i - 90_000],
    [500, (i: number) => 1_000 * i + 500],
  ])('shifts each once, by %i ms', async (byMs, expected) => {
    await schedule(600)
    expect(await run({ action: 'shift', all: true, byMs })).toMatchObject({ matched: 600, done: 600 })
    const { body } = await send('GET', '/v1/messages?limit=1000')
    const at = (body.messages as { id: string; at: string; version: number }[]).map((message) => [
      ...[message.id, Date.parse(message.at) - HOUR, message.version],
    ])
    const wanted = Array.from({ length: 600 }, (_, i) => [`m${i}`, expected(i), 2])
    expect(new Map(at.map(([id, ...rest]) => [id, rest]))).toEqual(
      new Map(wanted.map(([id, ...rest]) => [id, rest])),
    )
  })

  it('spreads what it shifts evenly, the order kept', async () => {
    await schedule(10)
    await run({ action: 'shift', all: true, byMs: 0, spread: '10s' })
    const due = await Promise.all(
      Array.from({ length: 10 }, async (_, i) => Date.parse(String((await get(`m${i}`)).at))),
    )
    if (world().shards.length === 1) expect(due.map((at) => at - HOUR)).toEqual(due.map((_, i) => 2_000 * i))
    const gaps = due.map((at, i) => at - HOUR - 1_000 * i).sort((a, b) => a - b)
    expect(gaps).toEqual(gaps.map((_, i) => 1_000 * i))
  })

  it('delivers at once, or spread over a time, and nothing later than it was', async () => {
    await schedule(20)
    await post({ id: 'soon', at: HOUR - 3_599_000, payload: 1 })
    const before = Date.now()
    await run({ action: 'deliver', filter: { tag: 'even' } })
    await run({ action: 'deliver', filter: { tag: 'odd' }, spread: '20m' })
    const after = Date.now() + 5_000
    for (let i = 0; i < 20; i += 2) {
      const { at, version } = await get(`m${i}`)
      expect(Date.parse(String(at))).toBeGreaterThan(before - 5_000)
      expect(Date.parse(String(at))).toBeLessThan(after)
      expect(version).toBe(2)
    }
    const spread = await Promise.all(
      Array.from({ length: 10 }, async (_, i) => Date.parse(String((await get(`m${2 * i + 1}`)).at))),
    )
    spread.sort((a, b) => a - b)
    const gaps = spread.slice(1).map((at, i) => at - (spread[i] ?? 0))
    for (const gap of gaps) expect(Math.abs(gap - 120_000)).toBeLessThan(5_000)
  })

  it('redrives dead letters to another destination, with other retries', async () => {
    await bury(4)
    const operation = { action: 'redrive', filter: { reason: 'released' } }
    const destination = { type: 'webhook', url: 'http://127.0.0.1:9/repaired' }
    expect(await run({ ...operation, destination, retry: { attempts: 2 } })).toMatchObject({ done: 4 })
    for (const id of await idsOf('status=scheduled'))
      expect(await get(id)).toMatchObject({ destination, retry: { attempts: 2 }, version: 2, attempts: 0 })
    expect(await idsOf('status=scheduled')).toHaveLength(4)
    expect(await idsOf(`destination=${encodeURIComponent(LANE)}`)).toHaveLength(4)
  })

  it('deletes dead letters, whose ids are free again', async () => {
    await bury(3)
    expect(await run({ action: 'delete', all: true })).toMatchObject({ done: 3 })
    expect(await world().stored()).toBe(0)
    expect((await post({ id: 'd0', payload: 1 })).status).toBe(201)
  })

  it('says what it could not do: a message that is being delivered stays as it is', async () => {
    await schedule(3)
    const keys = world().keysFor('m1')
    // As a server does that claims it, between the search and the step.
    const operation = await begin({ action: 'cancel', filter: { ids: ['m0', 'm1', 'm2'] }, perSecond: 1 })
    await world().client.zrem(keys.scheduled, 'm1')
    await world().client.zadd(keys.claimed, Date.now() + 60_000, 'm1')
    const { state, done, failed, failures } = await ended(operation.id)
    expect(state).toBe('done')
    expect((await get('m1')).status).toBe('claimed')
    // On shards that it came to later it was no match any more.
    if (failed > 0) expect(failures).toEqual({ claimed: 1 })
    expect(done).toBe(2)
  })

  it('leaves out what is created after it began', async () => {
    await schedule(4)
    const { id, startedAt } = await begin({ action: 'cancel', filter: { idPrefix: 'm' }, perSecond: 2 })
    // On a cluster, the clocks of masters may be so far apart.
    await until('they are surely later', () => Date.now() > Date.parse(startedAt) + 600)
    await Promise.all(['m5', 'm6', 'm7'].map((id) => post({ id, at: HOUR + 2_500, payload: 1 })))
    expect(await ended(id)).toMatchObject({ done: 4, failed: 0 })
    expect(await idsOf('')).toEqual(['m5', 'm6', 'm7'])
  })

  it('keeps to its pace, and does nothing more once it is stopped', async () => {
    await schedule(60)
    const { id, state } = await begin({ action: 'cancel', all: true, perSecond: 20 })
    expect(state).toBe('running')
    await until('it has begun', async () => (await find(id)).done > 0)
    const stopped = await send('DELETE', `/v1/operations/${id}`)
    expect(stopped).toMatchObject({ status: 200, body: { id, state: 'stopped' } })
    const left = (await idsOf('')).length
    expect(left).toBeGreaterThan(0)
    await until('its server has noticed', async () => (await find(id)).done === 60 - (await idsOf('')).length)
    expect(left - (await idsOf('')).length).toBeLessThanOrEqual(4)
    expect((await send('DELETE', `/v1/operations/${id}`)).body).toMatchObject({ state: 'stopped' })
  })

  it('is no faster than it was told', async () => {
    await schedule(30)
    const { startedAt, finishedAt } = await run({ action: 'cancel', all: true, perSecond: 50 })
    // Ten at a time: the last ones begin when the time of all others is over.
    expect(Date.parse(finishedAt ?? '') - Date.parse(startedAt)).toBeGreaterThanOrEqual(400)
  })

  it('is listed, the newest first, and is 404 where there is none', async () => {
    const first = await run({ action: 'cancel', all: true })
    await until('a ms has passed', () => Date.now() > Date.parse(first.startedAt) + 1)
    const second = await run({ action: 'delete', all: true })
    const { body } = await send('GET', '/v1/operations')
    expect((body.operations as { id: string }[]).map(({ id }) => id)).toEqual([second.id, first.id])
    expect(await send('GET', '/v1/operations/none')).toMatchObject(problem(404, /no operation/))
    expect(await send('DELETE', '/v1/operations/none')).toMatchObject(problem(404))
  })

  it('is refused while too many run', async () => {
    await schedule(40)
    // Each takes one message and waits.
    const slow = { action: 'cancel', all: true, perSecond: 0.001 }
    const statuses: number[] = []
    for (let i = 0; i < 17; i += 1) statuses.push((await send('POST', '/v1/operations', slow)).status)
    expect(statuses).toEqual([...Array.from({ length: 16 }, () => 202), 409])
  })
})

describe('POST /v1/operations', () => {
  it.each([
    [{ action: 'cancel' }, /"all": true/],
    [{ action: 'cancel', filter: {} }, /"all": true/],
    [{ action: 'cancel', filter: { tag: 'a' }, all: true }, /exactly one/],
    [{ action: 'cancel', all: false }, /all/],
    [{ action: 'move', all: true }, /action/],
    [{ action: 'shift', all: true }, /byMs/],
    [{ action: 'cancel', all: true, byMs: 1 }, /byMs/],
    [{ action: 'cancel', all: true, spread: '1m' }, /spread/],
    [{ action: 'shift', all: true, byMs: -1_000, spread: '1m' }, /spread/],
    [{ action: 'deliver', all: true, spread: 'soon' }, /spread/],
    [{ action: 'deliver', all: true, destination: { type: 'console' } }, /destination/],
    [{ action: 'redrive', all: true, retry: { minMs: 5, maxMs: 1 } }, /minMs/],
    [{ action: 'redrive', filter: { status: 'scheduled' } }, /redrive is for/],
    [{ action: 'shift', filter: { reason: 'status 503' }, byMs: 1 }, /shift is for/],
    [{ action: 'cancel', filter: { status: 'delivered' } }, /cancel is for/],
    [{ action: 'cancel', filter: { destination: 'nowhere' } }, /destination/],
    [{ action: 'cancel', filter: { from: 'soon' } }, /from/],
    [{ action: 'cancel', all: true, perSecond: 0 }, /perSecond/],
  ])('refuses %j', async (body, detail) => {
    await schedule(1)
    expect(await send('POST', '/v1/operations', body)).toMatchObject(problem(400, detail))
    expect((await send('GET', '/v1/operations')).body).toEqual({ operations: [] })
  })
})
