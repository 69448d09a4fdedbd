import { describe, expect, it } from 'vitest'
import { useApp } from '../../../support/app.ts'
import { IN_AN_HOUR, messagesApi, problem } from '../../../support/messages-api.ts'

const world = useApp()

const { send, post } = messagesApi(world)

/** What is wrong with a destination, where in it, and what is said of that. */
const WRONG_DESTINATIONS: readonly [what: string, destination: unknown, path: string, message: RegExp][] = [
  ['another destination', { type: 'pigeon' }, '/type', /^must be one of console, webhook, stream, pull$/],
  ['a destination without a type', {}, '/type', /^is missing; it must be one of console, webhook/],
  ['a destination that is a word', 'console', '', /an object: {"type":"console"}/],
  ['no destination at all', null, '', /an object: {"type":"console"}/],
  ['a list of destinations', [], '', /an object: {"type":"console"}/],
  ['a webhook without url', { type: 'webhook' }, '/url', /^is missing; it must be an http or https URL/],
  ['a webhook with a queue', { type: 'webhook', url: 'x', queue: 'q' }, '/queue', /unknown field/],
  ['a console with a url', { type: 'console', url: 'x' }, '/url', /unknown field/],
  ['another method', { type: 'webhook', url: 'x', method: 'HEAD' }, '/method', /POST, PUT, PATCH/],
  ['headers in a list', { type: 'webhook', url: 'x', headers: [] }, '/headers', /an object of strings/],
  ['a header of 5', { type: 'webhook', url: 'x', headers: { a: 5 } }, '/headers/a', /a string/],
  ['99 ms', { type: 'webhook', url: 'x', timeoutMs: 99 }, '/timeoutMs', /100 to 3600000/],
  ['over an hour', { type: 'webhook', url: 'x', timeoutMs: 3_600_001 }, '/timeoutMs', /100 to 3600000/],
  ['a private address', { type: 'webhook', url: 'http://127.0.0.1/' }, '/url', /public address/],
  [
    'a header that we set',
    { type: 'webhook', url: 'https://example.com/', headers: { 'Webhook-Id': 'x' } },
    '/headers/Webhook-Id',
    /./,
  ],
  ['a stream without a name', { type: 'stream' }, '/name', /is missing/],
  ['a blank in a name', { type: 'stream', name: 'a b' }, '/name', /1 to 128 of/],
  ['an empty name', { type: 'stream', name: '' }, '/name', /1 to 128 of/],
  ['maxLen of 0', { type: 'stream', name: 'a', maxLen: 0 }, '/maxLen', /1 to 1000000000/],
  ['maxLen of 1.5', { type: 'stream', name: 'a', maxLen: 1.5 }, '/maxLen', /1 to 1000000000/],
  ['too much maxLen', { type: 'stream', name: 'a', maxLen: 1e9 + 1 }, '/maxLen', /1 to 1000000000/],
  ['a queue of 129', { type: 'pull', queue: 'q'.repeat(129) }, '/queue', /1 to 128 of/],
  ['a brace in a queue', { type: 'pull', queue: 'a}' }, '/queue', /1 to 128 of/],
]

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

  it.each([
    ['seconds', { at: 1_730_104_372, payload: 1 }, '/at', /seconds/],
    ['digits as a string', { at: '1730104372243', payload: 1 }, '/at', /ISO 8601/],
    ['a time without an offset', { at: '2030-01-01T00:00:00', payload: 1 }, '/at', /offset/],
    ['a day that does not exist', { at: '2030-02-30T00:00:00Z', payload: 1 }, '/at', /ISO 8601/],
    ['a time past year 9999', { at: 253_402_300_800_000, payload: 1 }, '/at', /9999/],
    ['at of null', { at: null, payload: 1 }, '/at', /ISO 8601/],
    ['at beside delay', { at: IN_AN_HOUR, delay: 1, payload: 1 }, '/delay', /combined with at/],
    ['a negative delay', { delay: -1, payload: 1 }, '/delay', /0 or more/],
    ['a delay of another unit', { delay: '3w', payload: 1 }, '/delay', /s, m, h, d/],
    ['a delay past year 9999', { delay: '99999999d', payload: 1 }, '/delay', /9999/],
    ['no payload', { delay: 1 }, '/payload', /is missing/],
    ['an unknown field', { payload: 1, foo: 1 }, '/foo', /unknown field/],
    [
      'an unknown field of the destination',
      { payload: 1, destination: { type: 'console', x: 1 } },
      '/destination/x',
      /unknown field/,
    ],
    ['an id with ~', { id: '~a', payload: 1 }, '/id', /1 to 128/],
    ['the id .', { id: '.', payload: 1 }, '/id', /1 to 128/],
    ['the id ..', { id: '..', payload: 1 }, '/id', /1 to 128/],
    ['an id of 129', { id: 'a'.repeat(129), payload: 1 }, '/id', /1 to 128/],
    ['eleven tags', { payload: 1, tags: Array.from({ length: 11 }, (_, i) => `t${i}`) }, '/tags', /up to 10/],
    ['an empty tag', { payload: 1, tags: [''] }, '/tags/0', /1 to 64/],
    ['a tag of 65', { payload: 1, tags: ['x'.repeat(65)] }, '/tags/0', /1 to 64/],
    ['half a character in a tag', { payload: 1, tags: ['\ud800'] }, '/tags/0', /1 to 64/],
    ['onLate alone', { payload: 1, onLate: 'drop' }, '/onLate', /notAfter/],
    ['another onLate', { payload: 1, notAfter: IN_AN_HOUR, onLate: 'shrug' }, '/onLate', /dead-letter/],
    [
      'notAfter before at',
      { at: IN_AN_HOUR, notAfter: '2020-01-01T00:00:00Z', payload: 1 },
      '/notAfter',
      /before the due time/,
    ],
    [
      'notAfter before the delay',
      { delay: '2h', notAfter: IN_AN_HOUR, payload: 1 },
      '/notAfter',
      /before the due time/,
    ],
    ['no attempts at all', { payload: 1, retry: { attempts: 0 } }, '/retry/attempts', /1 to/],
    ['a shorter maxMs', { payload: 1, retry: { minMs: 5, maxMs: 4 } }, '/retry/minMs', /maxMs/],
  ])(
    'refuses %s with a problem that names the field, and stores nothing',
    async (_what, body, path, message) => {
      const answer = await post(body)
      expect(answer).toMatchObject(problem(400))
      expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/)
      expect(answer.body.errors).toContainEqual({ path, message: expect.stringMatching(message) })
      expect(await world().stored()).toBe(0)
    },
  )

  it.each(WRONG_DESTINATIONS)(
    'refuses %s in a destination, and stores nothing',
    async (_what, destination, path, message) => {
      const { status, body } = await post({ payload: 1, destination })
      expect(status).toBe(400)
      expect(body.errors).toEqual([{ path: `/destination${path}`, message: expect.stringMatching(message) }])
      expect(await world().stored()).toBe(0)
    },
  )

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
      expect((await send('GET', `/v1/messages/${id}`)).status).toBe(404)
    }
  })
})

describe('a payload nested too deeply', () => {
  it('is refused with 400', async () => {
    const DEPTH = 200_000
    const { app } = world()
    const answer = await app.inject({
      method: 'POST',
      url: '/v1/messages',
      headers: { 'content-type': 'application/json' },
      payload: `{"payload":${'['.repeat(DEPTH)}${']'.repeat(DEPTH)}}`,
    })
    expect(answer.statusCode).toBe(400)
    expect(answer.json()).toMatchObject({
      errors: [{ path: '/payload', message: expect.stringMatching(/^nested too deeply: at most 500 /) }],
    })
  })
})

describe('content', () => {
  const text = (method: 'POST' | 'PATCH', url: string, payload: string) =>
    world().app.inject({ method, url, payload, headers: { 'content-type': 'application/json' } })

  it.each([
    ['1.0', '10e-1', 200],
    ['{"b":"A","a":-0}', '{"a":0,"b":"\\u0041"}', 200],
    ['1152921506151679042', '1152921506151679043', 409],
    ['1e400', 'null', 409],
    ['{"a":1,"a":2}', '{"a":2}', 409],
    ['1e999999999', '2e999999999', 409],
  ])('%s and then %s under one id is %i', async (first, second, status) => {
    const body = (payload: string) => `{"id":"a","delay":"1h","payload":${payload}}`
    expect((await text('POST', '/v1/messages', body(first))).statusCode).toBe(201)
    expect((await text('POST', '/v1/messages', body(second))).statusCode).toBe(status)
  })

  it.each([
    ['{"payload":1,"payload":2}', 'payload: must not be given twice'],
    ['{"payload":1,"delay":"1h","del\\u0061y":"2h"}', 'delay: must not be given twice'],
    ['{"payload":1,"retry":{"minMs":1,"minMs":1}}', 'retry.minMs: must not be given twice'],
    [
      '{"payload":1,"destination":{"type":"webhook","url":"https://a.test","headers":{"a":"b","a":"b"}}}',
      'destination.headers.a: must not be given twice',
    ],
    [
      '{"payload":1,"retry":{"factor":1.00000000000000000001}}',
      'retry.factor: must be a number that a double represents exactly',
    ],
    ['{"payload":1,"delay":1e400}', 'delay: must be a number that a double represents exactly'],
    [
      `{"payload":1,"tags":${'['.repeat(501)}${']'.repeat(501)}}`,
      'body: nested too deeply: at most 500 levels of arrays and objects are allowed',
    ],
    ['{"payload":{}.5}', 'body: is not valid JSON'],
  ])('%.70s is a 400', async (body, detail) => {
    expect((await text('POST', '/v1/messages', body)).json()).toMatchObject({ status: 400, detail })
    const batch = (
      await text('POST', '/v1/messages/batch', `{"messages":[${body},{"payload":1,"delay":"1h"}]}`)
    ).json()
    if (detail.startsWith('body')) expect(batch).toMatchObject({ status: 400, detail })
    else expect(batch.results).toMatchObject([{ status: 400, detail }, { status: 201 }])
  })
})
