import { describe, expect, it } from 'vitest'
import { useApp } from '../../../support/app.ts'
import { IN_AN_HOUR, messagesApi, problem } from '../../../support/messages-api.ts'
import { until } from '../../../support/until.ts'

const world = useApp()
const { send, post } = messagesApi(world)

const LATE = '2001-02-03T04:05:06Z'
const statusOf = async (id: string) => (await send('GET', `/v1/messages/${id}`)).body.status
const deliver = (id: string, headers: Record<string, string> = {}, body?: unknown) =>
  send('POST', `/v1/messages/${id}/deliver`, body, headers)
const copy = (id: string, body?: unknown) => send('POST', `/v1/messages/${id}/copy`, body)

/** Has a message claimed by a worker that pulls. */
async function lease(id: string) {
  await post({ id, payload: { text: id }, destination: { type: 'pull', queue: 'q' } })
  const { body } = await send('POST', '/v1/queues/q/claim', {})
  expect(body).toMatchObject({ messages: [{ id }] })
  const [{ token = '' } = {}] = body.messages as { token?: string }[]
  return token
}

describe('POST /v1/messages/{id}/deliver', () => {
  it('makes a message due now, which is then delivered', async () => {
    await post({ id: 'a', at: IN_AN_HOUR, payload: 1 })
    const { status, headers, body } = await deliver('a')
    expect(status).toBe(200)
    expect(headers.etag).toBe('"2"')
    expect(body).toMatchObject({ id: 'a', status: 'scheduled', payload: 1, version: 2 })
    expect(Date.parse(String(body.at))).toBeLessThan(Date.parse(IN_AN_HOUR) - 1_800_000)
    world().startClaiming()
    await until('it is delivered', () => world().delivered.includes('a'))
  })

  it('schedules a dead letter again', async () => {
    await post({ id: 'a', at: LATE, notAfter: LATE, onLate: 'dead-letter', payload: 1 })
    world().startClaiming()
    await until('it is dead', async () => (await statusOf('a')) === 'dead')
    await send('PATCH', '/v1/messages/a', { notAfter: null, onLate: null })
    expect((await deliver('a')).body).toMatchObject({ status: 'scheduled', attempts: 0 })
    await until('it is delivered', () => world().delivered.includes('a'))
  })

  it('delivers one that is paused where the body says so, and no other', async () => {
    await send('POST', '/v1/pauses', { target: 'all' })
    for (const id of ['held', 'free']) await post({ id, payload: 1 })
    world().startClaiming()
    expect((await deliver('held', {}, {})).status).toBe(200)
    expect((await deliver('free', {}, { ignorePause: true })).status).toBe(200)
    await until('it is delivered', () => world().delivered.includes('free'))
    expect(world().delivered).toEqual(['free'])
    expect(await statusOf('held')).toBe('scheduled')
  })

  it('takes a body, and none', async () => {
    await post({ id: 'a', at: IN_AN_HOUR, payload: 1 })
    for (const body of [{}, { ignorePause: true }, { ignorePause: false }, undefined])
      expect((await deliver('a', {}, body)).status).toBe(200)
    for (const body of [{ ignorePause: 1 }, { at: IN_AN_HOUR }, []])
      expect(await deliver('a', {}, body)).toMatchObject(problem(400))
  })

  it('refuses what is claimed, finished, unknown, or at another version', async () => {
    expect(await deliver('a')).toMatchObject(problem(404))
    const token = await lease('a')
    expect(await deliver('a')).toMatchObject(problem(409, /being delivered/))
    await send('POST', '/v1/queues/q/acknowledge', { messages: [{ id: 'a', token }] })
    expect(await deliver('a')).toMatchObject(problem(409, /already/))
    await post({ id: 'b', at: IN_AN_HOUR, payload: 1 })
    expect(await deliver('b', { 'if-match': '"2"' })).toMatchObject(problem(412))
    expect((await deliver('b', { 'if-match': '"1"' })).status).toBe(200)
  })
})

describe('POST /v1/messages/{id}/copy', () => {
  const WHOLE = {
    ...{ id: 'a', at: IN_AN_HOUR, payload: { big: 12 }, tags: ['t'] },
    ...{ destination: { type: 'webhook', url: 'https://api.shop/hook', headers: { 'x-shop': 'berlin' } } },
    ...{ retry: { attempts: 3 }, onLate: 'drop' },
    notAfter: new Date(Date.parse(IN_AN_HOUR) + 60_000).toISOString(),
  }

  it('schedules a message like it, with an id of its own', async () => {
    await post(WHOLE)
    const { status, headers, body } = await copy('a')
    expect(status).toBe(201)
    const { id, ...rest } = WHOLE
    expect(body).toMatchObject({ ...rest, status: 'scheduled', version: 1, id: expect.stringMatching(/^~/) })
    expect(headers).toMatchObject({ location: `/v1/messages/${body.id}`, etag: '"1"' })
    expect((await send('GET', `/v1/messages/${body.id}`)).body).toEqual(body)
    expect((await send('GET', `/v1/messages/${id}`)).body).toMatchObject({ id, version: 1 })
    expect((await copy('a')).body.id).not.toBe(body.id)
  })

  it('takes every field of a new message but its id', async () => {
    await post(WHOLE)
    const overrides = {
      ...{ payload: null, tags: [], destination: { type: 'pull', queue: 'q' }, retry: { attempts: 9 } },
      ...{ at: '2999-01-01T00:00:00.000Z', notAfter: '2999-01-02T00:00:00.000Z', onLate: 'dead-letter' },
    }
    expect((await copy('a', overrides)).body).toMatchObject(overrides)
    const { body } = await copy('a', { delay: '2h' })
    const after = Date.parse(String(body.notAfter)) - Date.parse(String(body.at))
    expect(after).toBe(60_000)
    for (const wrong of [{ id: 'b' }, { at: 5 }, { at: IN_AN_HOUR, delay: '1h' }, { colour: 'blue' }, []])
      expect(await copy('a', wrong)).toMatchObject(problem(400))
    await post({ id: 'plain', at: IN_AN_HOUR, payload: 1 })
    expect(await copy('plain', { onLate: 'drop' })).toMatchObject(problem(400, /^onLate: requires notAfter/))
  })

  it('keeps the digits of numbers in the payload', async () => {
    const headers = { 'content-type': 'application/json' }
    const payload = '{"id":"a","at":"2999-01-01T00:00:00Z","payload":1.000000000000000000001}'
    await world().app.inject({ method: 'POST', url: '/v1/messages', headers, payload })
    const answer = await world().app.inject({ method: 'POST', url: '/v1/messages/a/copy' })
    expect(answer.body).toContain('"payload":1.000000000000000000001')
  })

  it('works from every state, and is due now where the time has come', async () => {
    const token = await lease('a')
    const copied = async (id: string) => {
      const { status, body } = await copy(id, { destination: { type: 'pull', queue: 'other' } })
      expect([id, status]).toEqual([id, 201])
      expect(body).toMatchObject({ status: 'scheduled', attempts: 0, recoveries: 0, version: 1 })
      expect(Date.parse(String(body.at))).toBeGreaterThan(Date.parse(IN_AN_HOUR) - 3_700_000)
      return body
    }
    expect(await copied('a')).toMatchObject({ payload: { text: 'a' } })
    await send('POST', '/v1/queues/q/acknowledge', { messages: [{ id: 'a', token }] })
    expect(await copied('a')).toMatchObject({ payload: { text: 'a' } })
    await post({ id: 'dropped', at: LATE, notAfter: LATE, onLate: 'drop', payload: 1 })
    await post({ id: 'dead', at: LATE, notAfter: LATE, onLate: 'dead-letter', payload: 1 })
    world().startClaiming()
    for (const id of ['dropped', 'dead']) {
      await until(`it is ${id}`, async () => (await statusOf(id)) === id)
      const { at, notAfter } = await copied(id)
      expect(notAfter).toBe(at)
    }
  })

  it('refuses where the history has no payload, unless the body has one', async () => {
    await post({ id: 'a', payload: 'x'.repeat(2_000) })
    world().startClaiming()
    await until('it is delivered', async () => (await statusOf('a')) === 'delivered')
    expect(await copy('a', { delay: '1h' })).toMatchObject(problem(409, /payload/))
    expect(await copy('a', { delay: '1h', payload: 'y' })).toMatchObject({
      status: 201,
      body: { payload: 'y' },
    })
    const keys = world().keysFor('a')
    await world().client.hdel(keys.history, 'a')
    expect(await copy('a', { delay: '1h', payload: 'y' })).toMatchObject(problem(409, /payload/))
    expect(await copy('nowhere')).toMatchObject(problem(404))
  })

  it('refuses what cannot be read', async () => {
    await post({ id: 'a', at: IN_AN_HOUR, payload: 1 })
    await world().client.hset(world().keysFor('a').messages, 'a', 'garbage')
    expect(await copy('a')).toMatchObject(problem(409, /damaged/))
  })
})
