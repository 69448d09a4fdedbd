import { describe, expect, it } from 'vitest'
import { useApp } from '../../support/app.ts'

const world = useApp()

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE'
const send = async (method: Method, url: string, payload?: unknown, headers: Record<string, string> = {}) => {
  const answer = await world().app.inject({
    method,
    url,
    headers: { ...(payload === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(payload === undefined ? {} : { payload: JSON.stringify(payload) }),
  })
  const body = answer.body === '' ? {} : answer.json<Record<string, unknown>>()
  return { status: answer.statusCode, headers: answer.headers, body }
}
const post = (body: unknown) => send('POST', '/v1/messages', body)
const IN_AN_HOUR = new Date(Date.now() + 3_600_000).toISOString()
const problem = (status: number, detail?: RegExp) => ({
  status,
  body: expect.objectContaining({
    status,
    ...(detail === undefined ? {} : { detail: expect.stringMatching(detail) }),
  }),
})

/** What is wrong with a destination, where in it, and what is said of that. */
const WRONG_DESTINATIONS: readonly [what: string, destination: unknown, path: string, message: RegExp][] = [
  ['another destination', { type: 'pigeon' }, '/type', /^must be one of console, webhook, stream, pull$/],
  ['a destination without a type', {}, '/type', /^is missing; it must be one of console, webhook/],
  ['a destination that is a word', 'console', '', /an object that says where it goes/],
  ['no destination at all', null, '', /an object that says where it goes/],
  ['a list of destinations', [], '', /an object that says where it goes/],
  ['a webhook without url', { type: 'webhook' }, '/url', /^is missing; it must be an http or https URL/],
  ['a webhook with a queue', { type: 'webhook', url: 'x', queue: 'q' }, '/queue', /not a field/],
  ['a console with a url', { type: 'console', url: 'x' }, '/url', /not a field/],
  ['another method', { type: 'webhook', url: 'x', method: 'HEAD' }, '/method', /POST, PUT, PATCH/],
  ['headers in a list', { type: 'webhook', url: 'x', headers: [] }, '/headers', /an object of strings/],
  ['a header of 5', { type: 'webhook', url: 'x', headers: { a: 5 } }, '/headers/a', /a string/],
  ['99 ms', { type: 'webhook', url: 'x', timeoutMs: 99 }, '/timeoutMs', /100 to 3600000/],
  ['over an hour', { type: 'webhook', url: 'x', timeoutMs: 3_600_001 }, '/timeoutMs', /100 to 3600000/],
  ['a private address', { type: 'webhook', url: 'http://127.0.0.1/' }, '/url', /not public/],
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
    expect(body).not.toHaveProperty('hostOrigin')
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
    ['at beside delay', { at: IN_AN_HOUR, delay: 1, payload: 1 }, '/delay', /beside at/],
    ['a negative delay', { delay: -1, payload: 1 }, '/delay', /0 or more/],
    ['a delay of another unit', { delay: '3w', payload: 1 }, '/delay', /s, m, h, d/],
    ['a delay past year 9999', { delay: '99999999d', payload: 1 }, '/delay', /9999/],
    ['no payload', { delay: 1 }, '/payload', /is missing/],
    ['an unknown field', { payload: 1, foo: 1 }, '/foo', /not a field/],
    [
      'an unknown field of the destination',
      { payload: 1, destination: { type: 'console', x: 1 } },
      '/destination/x',
      /not a field/,
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

describe('PATCH /v1/messages/:id', () => {
  it('changes what is named and leaves the rest', async () => {
    await post({
      id: 'a',
      delay: '1h',
      payload: 1,
      tags: ['x'],
      retry: { attempts: 2 },
      notAfter: '2099-01-01T00:00:00Z',
      onLate: 'drop',
    })
    const { status, headers, body } = await send('PATCH', '/v1/messages/a', { tags: ['y'], onLate: null })
    expect(status).toBe(200)
    expect(headers.etag).toBe('"2"')
    expect(body).toMatchObject({
      payload: 1,
      tags: ['y'],
      retry: { attempts: 2 },
      notAfter: '2099-01-01T00:00:00.000Z',
      version: 2,
    })
    expect(body).not.toHaveProperty('onLate')
    const list = async (tag: string) => (await send('GET', `/v1/messages?tag=${tag}`)).body.messages
    expect(await list('x')).toEqual([])
    expect(await list('y')).toHaveLength(1)
  })

  it.each([
    ['"1"', 200],
    ['"7", "1"', 200],
    ['*', 200],
    ['"2"', 412],
    ['W/"1"', 412],
    ['1', 412],
    ['', 412],
  ])('with If-Match %s answers %i', async (ifMatch, status) => {
    await post({ id: 'a', delay: '1h', payload: 1 })
    expect((await send('PATCH', '/v1/messages/a', { payload: 2 }, { 'if-match': ifMatch })).status).toBe(
      status,
    )
    expect((await send('GET', '/v1/messages/a')).body.payload).toBe(status === 200 ? 2 : 1)
  })

  it.each([
    [{}, 400],
    [{ at: null }, 400],
    [{ payload: 1, id: 'b' }, 400],
    [{ notAfter: '2020-01-01T00:00:00Z' }, 400],
    [{ onLate: 'drop' }, 400],
    [{ retry: { minMs: 10, maxMs: 5 } }, 400],
    [{ retry: null, notAfter: null }, 200],
    [{ payload: null }, 200],
    [{ at: IN_AN_HOUR, delay: 5 }, 400],
  ])('answers %j with %i', async (change, status) => {
    await post({ id: 'a', delay: '1h', payload: 1 })
    expect((await send('PATCH', '/v1/messages/a', change)).status).toBe(status)
  })

  it('answers 404 before 412', async () => {
    expect(await send('PATCH', '/v1/messages/none', { payload: 1 }, { 'if-match': '"9"' })).toMatchObject(
      problem(404),
    )
  })
})

describe('a message that is finished', () => {
  const deliver = async (body: Record<string, unknown>) => {
    const created = await post(body)
    world().startClaiming()
    await expect.poll(() => world().delivered).toContain(created.body.id)
    await expect
      .poll(async () => (await send('GET', `/v1/messages/${created.body.id}`)).body.status)
      .toBe('delivered')
    return created
  }

  it('is told of by its history: delivered, when and how late', async () => {
    const { body } = await deliver({ id: 'a', payload: { x: 1 }, tags: ['t'] })
    const { status, body: known } = await send('GET', '/v1/messages/a')
    expect(status).toBe(200)
    expect(known).toMatchObject({
      ...body,
      status: 'delivered',
      finishedAt: expect.stringMatching(/Z$/),
      lateMs: expect.any(Number),
    })
    expect((await send('GET', '/v1/messages?status=delivered')).body.messages).toEqual([known])
    expect((await send('GET', '/v1/messages?tag=t')).body.messages).toEqual([])
  })

  it('keeps no payload over 1 KiB', async () => {
    await deliver({ id: 'a', payload: 'x'.repeat(1_100) })
    const { body } = await send('GET', '/v1/messages/a')
    expect(body.payloadOmitted).toBe(true)
    expect(body).not.toHaveProperty('payload')
  })

  it('can be changed and cancelled no more, and its id stays known', async () => {
    await deliver({ id: 'a', payload: 1 })
    expect((await send('PATCH', '/v1/messages/a', { payload: 2 })).status).toBe(409)
    expect((await send('DELETE', '/v1/messages/a', undefined, { 'if-match': '"9"' })).status).toBe(409)
    expect(await post({ id: 'a', payload: 1 })).toMatchObject({
      status: 200,
      body: { status: 'delivered', duplicate: true },
    })
    expect((await post({ id: 'a', payload: 2 })).status).toBe(409)
  })
})

describe('without a history', () => {
  const bare = useApp({ HISTORY_MAX: '0' })

  it('a finished message is known by its id and status only', async () => {
    const { app, startClaiming, delivered } = bare()
    const body = { id: 'a', payload: 1 }
    await app.inject({ method: 'POST', url: '/v1/messages', payload: body })
    startClaiming()
    await expect.poll(() => delivered).toEqual(['a'])
    await expect
      .poll(async () => (await app.inject({ method: 'POST', url: '/v1/messages', payload: body })).json())
      .toEqual({ id: 'a', status: 'delivered', duplicate: true })
  })
})

describe('DELETE /v1/messages/:id', () => {
  it('answers 204, and the id is free again', async () => {
    await post({ id: 'a', delay: '1h', payload: 1 })
    expect((await send('DELETE', '/v1/messages/a', undefined, { 'if-match': '"2"' })).status).toBe(412)
    expect((await send('DELETE', '/v1/messages/a', undefined, { 'if-match': '"1"' })).status).toBe(204)
    expect(await send('DELETE', '/v1/messages/a')).toMatchObject(problem(404))
    expect((await post({ id: 'a', delay: '1h', payload: 2 })).status).toBe(201)
  })

  it('takes a request with a content type and no body', async () => {
    await post({ id: 'a', delay: '1h', payload: 1 })
    expect(
      (await send('DELETE', '/v1/messages/a', undefined, { 'content-type': 'application/json' })).status,
    ).toBe(204)
  })
})

describe('GET /v1/messages', () => {
  const at = (i: number) => new Date(Date.parse(IN_AN_HOUR) + i * 1_000).toISOString()

  it('lists page by page in due order, and misses and repeats nothing that was there throughout', async () => {
    await Promise.all(
      Array.from({ length: 25 }, (_, i) =>
        post({ id: `m${String(i).padStart(2, '0')}`, at: at(i % 5), payload: i }),
      ),
    )
    const seen: string[] = []
    let cursor: unknown
    for (let page = 0; ; page += 1) {
      const { body } = await send(
        'GET',
        `/v1/messages?limit=4${cursor === undefined ? '' : `&cursor=${cursor}`}`,
      )
      const ids = (body.messages as { id: string }[]).map(({ id }) => id)
      seen.push(...ids)
      // The very message the cursor stands on goes, and others come before and behind it.
      await send('DELETE', `/v1/messages/${ids.at(-1)}`)
      await post({ id: `early${page}`, at: at(-10 + page), payload: 1 })
      cursor = body.nextCursor
      if (cursor === null) break
    }
    const original = seen.filter((id) => id.startsWith('m'))
    expect(original).toHaveLength(25)
    expect(new Set(original).size).toBe(25)
    const order = (id: string) => Number(id.slice(1)) % 5
    expect(original.map(order)).toEqual(original.map(order).sort((a, b) => a - b))
  })

  it('keeps to from, to, tag and status', async () => {
    for (let i = 0; i < 6; i += 1)
      await post({ id: `m${i}`, at: at(i), payload: i, tags: [i % 2 === 0 ? 'even' : 'odd'] })
    const ids = async (query: string) =>
      ((await send('GET', `/v1/messages?${query}`)).body.messages as { id: string }[]).map(({ id }) => id)
    expect(await ids(`from=${at(1)}&to=${at(4)}`)).toEqual(['m1', 'm2', 'm3'])
    expect(await ids(`from=${Date.parse(at(4))}`)).toEqual(['m4', 'm5'])
    expect(await ids(`tag=even&from=${at(1)}`)).toEqual(['m2', 'm4'])
    expect(await ids('status=claimed&tag=even')).toEqual([])
    expect(await ids('status=dead')).toEqual([])
  })

  it('finds dead messages by tag too', async () => {
    const late = {
      at: '2001-02-03T04:05:06Z',
      notAfter: '2001-02-03T04:05:07Z',
      onLate: 'dead-letter',
      payload: 1,
    }
    for (const [id, tags] of Object.entries({ a: ['x', 't'], b: ['x'], c: ['t'] }))
      await post({ ...late, id, tags })
    await post({ id: 'd', delay: '1h', payload: 1, tags: ['t'] })
    world().startClaiming()
    const dead = async (query: string) =>
      ((await send('GET', `/v1/messages?status=dead${query}`)).body.messages as { id: string }[])
        .map(({ id }) => id)
        .sort()
    await expect.poll(() => dead('')).toEqual(['a', 'b', 'c'])
    expect(await dead('&tag=t')).toEqual(['a', 'c'])
    expect(await dead('&tag=none')).toEqual([])
  })

  it.each([
    'limit=0',
    'limit=1001',
    'limit=x',
    'limit=1e3',
    'limit=true',
    'limit=10.5',
    'status=lost',
    'tag=',
    'tag=x&status=delivered',
    'tag=x&status=dropped',
    'from=yesterday',
    'from=1730104372',
    'cursor=nonsense',
    'colour=blue',
  ])('refuses %s with a problem', async (query) => {
    expect(await send('GET', `/v1/messages?${query}`)).toMatchObject(problem(400))
  })

  it('refuses a cursor of another query', async () => {
    for (let i = 0; i < 3; i += 1) await post({ delay: '1h', payload: i, tags: ['t'] })
    const { nextCursor } = (await send('GET', '/v1/messages?limit=1')).body
    expect((await send('GET', `/v1/messages?limit=2&cursor=${nextCursor}`)).status).toBe(200)
    for (const cursor of [`${nextCursor}!!`, `%20${nextCursor}`, `${nextCursor}`.slice(0, -3)]) {
      expect((await send('GET', `/v1/messages?cursor=${cursor}`)).status).toBe(400)
    }
    expect((await send('GET', `/v1/messages?tag=t&cursor=${nextCursor}`)).status).toBe(400)
  })
})

describe('messages that are large', () => {
  it('are listed as far as a page may hold them, whatever the limit', async () => {
    const payload = 'ü'.repeat(450_000)
    for (let i = 0; i < 30; i += 1) await post({ id: `m${i}`, delay: '1h', payload, tags: ['t'] })
    const { body } = await send('GET', '/v1/messages?limit=100&tag=t')
    // 16 MiB of 900 kB each.
    expect(body.messages).toHaveLength(18)
    expect(body.nextCursor).not.toBeNull()
  })

  it('do not hide behind one that cannot be read, nor does it', async () => {
    const { client, keysFor } = world()
    const keys = keysFor('a')
    await post({ id: 'a', delay: '1h', payload: 1 })
    await client.hset(keys.messages, 'broken', '5 x\n')
    await client.zadd(keys.scheduled, Date.now() + 1_000, 'broken')
    expect((await send('GET', '/v1/messages')).body.messages).toEqual([
      { id: 'broken', status: 'scheduled', unreadable: true, raw: '5 x\n' },
      expect.objectContaining({ id: 'a' }),
    ])
  })
})

describe('many at once', () => {
  it('are cancelled by tag or by ids, once each', async () => {
    await Promise.all(
      Array.from({ length: 1_200 }, (_, i) =>
        post({ id: `m${i}`, delay: '1h', payload: i, tags: [i < 1_100 ? 'a' : 'b'] }),
      ),
    )
    expect((await send('POST', '/v1/messages/cancel', { tag: 'a' })).body).toEqual({
      cancelled: 1_100,
      claimed: 0,
    })
    expect((await send('POST', '/v1/messages/cancel', { tag: 'a' })).body).toEqual({
      cancelled: 0,
      claimed: 0,
    })
    expect(
      (await send('POST', '/v1/messages/cancel', { ids: ['m1100', 'm1100', 'm0', 'none'] })).body,
    ).toEqual({ cancelled: 1, claimed: 0 })
    expect(await world().stored()).toBe(99)
  })

  it.each([3_600_000, -1_800_000])(
    'are moved by %i ms, each once, their order kept, notAfter along',
    async (byMs) => {
      const due = (i: number) => Date.parse(IN_AN_HOUR) + (i % 700) * 100
      await Promise.all(
        Array.from({ length: 1_100 }, (_, i) =>
          post({
            id: `m${i}`,
            at: due(i),
            payload: i,
            tags: ['t'],
            ...(i === 7 ? { notAfter: due(i) + 50 } : {}),
          }),
        ),
      )
      expect((await send('POST', '/v1/messages/shift', { tag: 't', byMs })).body).toEqual({ shifted: 1_100 })
      const { client, shards } = world()
      const scores = (
        await Promise.all(shards.map((keys) => client.zrange(keys.scheduled, '0', '-1', 'WITHSCORES')))
      ).flat()
      expect(scores).toHaveLength(2 * 1_100)
      for (let i = 0; i < scores.length; i += 2)
        expect(Number(scores[i + 1])).toBe(due(Number(scores[i]?.slice(1))) + byMs)
      expect((await send('GET', '/v1/messages/m7')).body).toMatchObject({
        at: new Date(due(7) + byMs).toISOString(),
        notAfter: new Date(due(7) + byMs + 50).toISOString(),
        version: 2,
      })
    },
  )

  it.each([{}, { tag: 'a', ids: ['b'] }, { tag: 5 }, { ids: 'a' }])('refuse %j', async (body) => {
    expect((await send('POST', '/v1/messages/cancel', body)).status).toBe(400)
    expect((await send('POST', '/v1/messages/shift', { ...body, byMs: 1 })).status).toBe(400)
  })
})

describe('GET /v1/forecast', () => {
  it('counts what falls due in each bucket, empty ones included', async () => {
    const from = Date.parse(IN_AN_HOUR)
    for (const offset of [0, 999, 1_000, 2_999, 4_000, 5_000]) await post({ at: from + offset, payload: 1 })
    const { body } = await send('GET', `/v1/forecast?from=${from}&to=${from + 5_000}&bucketMs=1000`)
    expect(body.buckets).toEqual(
      [2, 1, 1, 0, 1].map((count, i) => ({ at: new Date(from + i * 1_000).toISOString(), count })),
    )
  })

  it.each(['bucketMs=0', 'bucketMs=1', 'from=2030-01-01T00:00:00Z&to=2029-01-01T00:00:00Z', 'to=x'])(
    'refuses %s',
    async (query) => {
      expect((await send('GET', `/v1/forecast?${query}`)).status).toBe(400)
    },
  )
})

describe('GET /v1/stats', () => {
  it('tells what there is, and who serves it', async () => {
    await post({ delay: '1h', payload: 1 })
    world().startClaiming()
    await expect.poll(async () => (await send('GET', '/v1/stats')).body.servers).toHaveLength(1)
    expect((await send('GET', '/v1/stats')).body).toMatchObject({
      counts: { scheduled: 1, claimed: 0, dead: 0 },
      oldestOverdueMs: 0,
      servers: [{ roles: ['api', 'worker'], version: '0.1.0', startedAt: expect.stringMatching(/Z$/) }],
      streams: [],
      redis: { version: expect.stringMatching(/^\d+\./), usedMemoryBytes: expect.any(Number) },
    })
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
      errors: [{ path: '/payload', message: expect.stringMatching(/^is nested too deeply; at most 500 /) }],
    })
  })
})

describe('a wrong destination', () => {
  const destination = { type: 'webhook', url: 5 }
  const detail = /^destination\.url: must be an http or https URL/

  it('is refused in PATCH', async () => {
    await post({ id: 'a', delay: '1h', payload: 1 })
    expect(await send('PATCH', '/v1/messages/a', { destination })).toMatchObject(problem(400, detail))
    expect((await send('GET', '/v1/messages/a')).body).toMatchObject({ version: 1 })
  })

  it('is refused in a batch, and alone', async () => {
    const { body } = await send('POST', '/v1/messages/batch', {
      messages: [
        { payload: 1, destination },
        { payload: 1, delay: '1h' },
      ],
    })
    expect(body.results).toEqual([
      { status: 400, detail: expect.stringMatching(detail) },
      { id: expect.any(String), status: 201 },
    ])
  })
})

describe('everything else under /v1', () => {
  it('is a problem', async () => {
    expect(await send('GET', '/v1/nothing')).toMatchObject(problem(404))
    expect(await send('POST', '/v1/messages', 'x'.repeat(1_100_000))).toMatchObject(problem(413))
    const broken = await world().app.inject({
      method: 'POST',
      url: '/v1/messages',
      payload: '{',
      headers: { 'content-type': 'application/json' },
    })
    expect(broken.statusCode).toBe(400)
    expect(broken.json()).toMatchObject({ status: 400, detail: 'body: is not valid JSON' })
    const typed = await world().app.inject({
      method: 'POST',
      url: '/v1/messages',
      payload: 'a=1',
      headers: { 'content-type': 'text/plain' },
    })
    expect(typed.statusCode).toBe(415)
    expect(typed.headers['content-type']).toMatch(/^application\/problem\+json/)
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
      'retry.factor: must be a number that can be kept exactly',
    ],
    ['{"payload":1,"delay":1e400}', 'delay: must be a number that can be kept exactly'],
    [
      `{"payload":1,"tags":${'['.repeat(501)}${']'.repeat(501)}}`,
      'body: is nested too deeply; at most 500 arrays and objects may be within each other',
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

describe('what somebody else has damaged', () => {
  it.each([['garbage'], ['5{"t":[{}],"v":"x","f":[]}\n1'], ['5\n{"a":'], ['']])(
    'is shown with its raw text %j, listed, and can be deleted',
    async (raw) => {
      const { client, keysFor } = world()
      await post({ id: 'broken', delay: '1h', payload: 1, tags: ['t'] })
      await post({ id: 'other', delay: '1h', payload: 1, tags: ['t'] })
      await client.hset(keysFor('broken').messages, 'broken', raw)
      const shown = { id: 'broken', status: 'scheduled', unreadable: true, raw }
      expect(await send('GET', '/v1/messages/broken')).toMatchObject({ status: 200, body: shown })
      expect((await send('GET', '/v1/messages')).body.messages).toEqual(
        expect.arrayContaining([shown, expect.objectContaining({ id: 'other' })]),
      )
      expect((await send('DELETE', '/v1/messages/broken')).status).toBe(204)
      expect((await send('POST', '/v1/messages/cancel', { tag: 't' })).body).toEqual({
        cancelled: 1,
        claimed: 0,
      })
    },
  )

  it('in the history is shown, too', async () => {
    const { client, keysFor } = world()
    const { history, delivered } = keysFor('a')
    await client.hset(history, 'a', 'garbage')
    await client.zadd(delivered, Date.now(), 'a')
    const shown = { id: 'a', status: 'delivered', unreadable: true, raw: 'garbage' }
    expect(await send('GET', '/v1/messages/a')).toMatchObject({ status: 200, body: shown })
    expect((await send('GET', '/v1/messages?status=delivered')).body.messages).toEqual([shown])
  })
})
