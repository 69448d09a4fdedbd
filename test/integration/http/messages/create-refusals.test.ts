import { describe, expect, it } from 'vitest'
import { DESTINATIONS } from '../../../../src/destinations/registry.ts'
import { useApp } from '../../../support/app.ts'
import { IN_AN_HOUR, messagesApi, problem } from '../../../support/messages-api.ts'

const world = useApp()

const { post } = messagesApi(world)

const WHICH = DESTINATIONS.map(({ type }) => type).join(', ')

/** What is wrong with a destination, where in it, and what is said of that. */
const WRONG_DESTINATIONS: readonly [what: string, destination: unknown, path: string, message: RegExp][] = [
  ['another destination', { type: 'pigeon' }, '/type', new RegExp(`^must be one of ${WHICH}$`)],
  ['a destination without a type', {}, '/type', new RegExp(`^is missing; it must be one of ${WHICH}$`)],
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
