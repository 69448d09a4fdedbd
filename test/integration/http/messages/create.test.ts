import { describe, expect, it } from 'vitest'
import { useApp } from '../../../support/app.ts'
import { IN_AN_HOUR, messagesApi, problem } from '../../../support/messages-api.ts'

const world = useApp()

const { send, post } = messagesApi(world)

describe('POST /v1/messages', () => {
  it('answers 201 with the message, where it is and its version', async () => {
    const { status, headers, body } = await post({
      at: IN_AN_HOUR,
      payload: { a: [1, null] },
      tags: ['x', 'x', 'y'],
    })
    expect(status).toBe(201)
    expect(headers.location).toBe(`/v1/messages/${body.id}`)
    expect(headers.etag).toBe('"1"')
    expect(body).toMatchObject({
      at: IN_AN_HOUR,
      status: 'scheduled',
      payload: { a: [1, null] },
      destination: { type: 'console' },
      tags: ['x', 'y'],
      attempts: 0,
      recoveries: 0,
      version: 1,
    })
    expect((await send('GET', String(headers.location))).body).toEqual(body)
  })

  it('shows the URL of a webhook as it was given, however its host is spelled', async () => {
    const url = 'HTTP://Exa\u200bmple.COM.:80/Hook?a=b#c'
    const content = { id: 'spelled', delay: '1h', payload: 1, destination: { type: 'webhook', url } }
    const { body } = await post(content)
    expect(body.destination).toEqual({ type: 'webhook', url })
    expect(body).not.toHaveProperty('lane')
    expect((await send('GET', '/v1/messages/spelled')).body).toEqual(body)
    expect((await send('GET', '/v1/messages')).body).toMatchObject({ messages: [{ destination: { url } }] })
    expect(await post(content)).toMatchObject({ status: 200, body: { duplicate: true } })
    const other = { type: 'webhook', url: 'https://93.184.216.034/' }
    const changed = await send('PATCH', '/v1/messages/spelled', { destination: other })
    expect(changed.body.destination).toEqual(other)
    expect((await send('GET', '/v1/messages/spelled')).body.destination).toEqual(other)
  })

  it.each([
    ['neither at nor delay', {}, 0],
    ['a delay of 0', { delay: 0 }, 0],
    ['milliseconds', { delay: 5_000 }, 5_000],
    ['seconds', { delay: '90s' }, 90_000],
    ['minutes', { delay: '5m' }, 300_000],
    ['hours', { delay: '2h' }, 7_200_000],
    ['days', { delay: '3d' }, 259_200_000],
  ])('reckons %s from when Redis stored it', async (_what, when, inMs) => {
    const from = performance.now()
    const { body } = await post({ payload: 1, ...when })
    const tookMs = performance.now() - from
    const after = Date.parse(String(body.at)) - Date.parse(String(body.createdAt))
    expect(after).toBeGreaterThanOrEqual(inMs)
    expect(after).toBeLessThan(inMs + 5 + tookMs)
  })

  it('takes a past time as due now, and keeps it', async () => {
    const { status, body } = await post({ at: '2001-02-03T04:05:06Z', payload: 1 })
    expect(status).toBe(201)
    expect(body.at).toBe('2001-02-03T04:05:06.000Z')
  })

  it('answers a known id with the same content with the message that is there', async () => {
    const content = { id: 'a', at: IN_AN_HOUR, payload: { x: 1, y: 2 }, tags: [] }
    const first = await post(content)
    const again = await post({
      payload: { y: 2, x: 1 },
      at: Date.parse(IN_AN_HOUR),
      id: 'a',
      destination: { type: 'console' },
    })
    expect(again.status).toBe(200)
    expect(again.body).toEqual({ ...first.body, duplicate: true })
  })

  it.each([
    ['payload', { id: 'a', delay: '1h', payload: 2 }],
    ['delay', { id: 'a', delay: '2h', payload: 1 }],
    ['tags', { id: 'a', delay: '1h', payload: 1, tags: ['t'] }],
    ['a time instead of a delay', { id: 'a', at: IN_AN_HOUR, payload: 1 }],
  ])('refuses a known id with another %s', async (_what, other) => {
    await post({ id: 'a', delay: '1h', payload: 1 })
    expect(await post(other)).toMatchObject(problem(409, /^id: /))
  })

  it.each([
    ['onLate', { notAfter: '2099-01-01T00:00:00Z' }, { notAfter: '2099-01-01T00:00:00Z', onLate: 'deliver' }],
    ['retry', {}, { retry: {} }],
    ['tags and destination', {}, { tags: [], destination: { type: 'console' } }],
  ])('takes the default of %s for the same as none', async (_what, bare, filled) => {
    expect((await post({ id: 'a', delay: '1h', payload: 1, ...bare })).status).toBe(201)
    expect((await post({ id: 'a', delay: '1h', payload: 1, ...filled })).status).toBe(200)
  })

  it('counts the characters of a tag as people do', async () => {
    expect((await post({ payload: 1, delay: '1h', tags: ['🔔'.repeat(64)] })).status).toBe(201)
    expect((await post({ payload: 1, delay: '1h', tags: ['🔔'.repeat(65)] })).status).toBe(400)
    expect(
      (await send('GET', `/v1/messages?tag=${encodeURIComponent('🔔'.repeat(64))}`)).body.messages,
    ).toHaveLength(1)
  })

  it('compares with what was first accepted, whatever PATCH made of it', async () => {
    await post({ id: 'a', delay: '1h', payload: 1 })
    await send('PATCH', '/v1/messages/a', { payload: 2, delay: '3h' })
    expect(await post({ id: 'a', delay: '1h', payload: 1 })).toMatchObject({
      status: 200,
      body: { payload: 2, duplicate: true },
    })
    expect((await post({ id: 'a', delay: '1h', payload: 2 })).status).toBe(409)
  })

  it('takes every legal id, in every route, encoded or not', async () => {
    const ids = [
      'cancel',
      'batch',
      'shift',
      '__proto__',
      'constructor',
      '...',
      'a'.repeat(128),
      ':'.repeat(128),
      '-_.:',
      'A.b:c-9_',
    ]
    for (const id of ids) {
      expect((await post({ id, delay: '1h', payload: id })).status).toBe(201)
      const encoded = [...id].map((char) => `%${char.charCodeAt(0).toString(16)}`).join('')
      for (const form of [id, encodeURIComponent(id), encoded]) {
        expect(await send('GET', `/v1/messages/${form}`)).toMatchObject({
          status: 200,
          body: { id, payload: id },
        })
      }
      expect((await send('PATCH', `/v1/messages/${encoded}`, { payload: 2 })).status).toBe(200)
      expect((await send('DELETE', `/v1/messages/${encoded}`)).status).toBe(204)
      expect((await send('GET', `/v1/messages/${id}`)).body.status).toBe('cancelled')
    }
  })
})

describe('a header Idempotency-Key', () => {
  const keyed = (key: string, body: object) => send('POST', '/v1/messages', body, { 'idempotency-key': key })

  it('is the id of a message whose body has none, under the rules of an id', async () => {
    const message = { at: IN_AN_HOUR, payload: 1 }
    const first = await keyed('invoice-4711', message)
    expect(first).toMatchObject({ status: 201, body: { id: 'invoice-4711' } })
    expect(first.headers.location).toBe('/v1/messages/invoice-4711')
    expect(await keyed('invoice-4711', message)).toMatchObject({
      status: 200,
      body: { id: 'invoice-4711', duplicate: true },
    })
    // It is the same id, whichever way it comes.
    expect(await post({ ...message, id: 'invoice-4711' })).toMatchObject({ status: 200 })
    expect(await keyed('invoice-4711', { ...message, payload: 2 })).toMatchObject({
      status: 409,
      body: { code: 'id_conflict' },
    })
  })

  it('gives way to the id in the body', async () => {
    const created = await keyed('other', { id: 'own', at: IN_AN_HOUR, payload: 1 })
    expect(created).toMatchObject({ status: 201, body: { id: 'own' } })
    expect((await send('GET', '/v1/messages/other')).status).toBe(404)
  })

  it.each(['', '..', 'a b', '~a', 'a/b', 'x'.repeat(129), '"quoted"'])('is refused as %j', async (key) => {
    const answer = await keyed(key, { payload: 1 })
    expect(answer).toMatchObject({ status: 400, body: { code: 'invalid' } })
    expect(answer.body.errors).toEqual([
      { path: '/idempotency-key', message: expect.stringMatching(/^must be 1 to 128 of A-Z a-z 0-9/) },
    ])
    expect(await world().stored()).toBe(0)
  })

  it('is not read by a batch', async () => {
    const answer = await send(
      'POST',
      '/v1/messages/batch',
      { messages: [{ at: IN_AN_HOUR, payload: 1 }] },
      { 'idempotency-key': 'a' },
    )
    expect(answer.body).toMatchObject({ results: [{ id: expect.stringMatching(/^~/), status: 201 }] })
  })
})
