import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import { Cluster } from 'ioredis'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { buildApp } from '../../../src/http/app.ts'
import { CLIENT_TIMES } from '../../../src/http/connections/client-timeouts.ts'
import { makeApiKey, parseApiKeys } from '../../../src/http/plugins/api-keys.ts'
import type { ApiDeps } from '../../../src/http/v1/deps.ts'
import { encodeLeaseToken, makeSecret } from '../../../src/leases/lease-token.ts'
import type { Message } from '../../../src/messages/message-view.ts'
import { useApp } from '../../support/app.ts'
import { connectRaw } from '../../support/raw-http.ts'
import { until } from '../../support/until.ts'

interface Media {
  readonly schema: Schema
  readonly example?: unknown
  readonly examples?: Readonly<Record<string, { value: unknown }>>
}
interface Header {
  readonly description?: string
  readonly required?: boolean
  readonly schema: Schema
}
type Ref = { readonly $ref: string }
interface Response {
  readonly description?: string
  readonly headers?: Readonly<Record<string, Header | Ref>>
  readonly content?: Readonly<Record<string, Media>>
}
interface Operation {
  readonly operationId?: string
  readonly summary?: string
  readonly description?: string
  readonly tags?: readonly string[]
  readonly security?: readonly { readonly key?: readonly string[] }[]
  readonly parameters?: readonly (Media & { name: string; in: string; description?: string })[]
  readonly requestBody?: { readonly required?: boolean; readonly content: Readonly<Record<string, Media>> }
  readonly responses: Readonly<Record<string, Response | Ref>>
}
interface Schema {
  readonly $ref?: string
  readonly description?: string
  readonly examples?: readonly unknown[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  additionalProperties?: boolean
}
interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}

/** Routes that are about the document, and so are not in it. */
const NOT_OF_THE_API = /^\/(openapi\.json|docs(\/.*)?)$/
/** What no request can bring about from outside, with the reason. */
const NOT_PROVOKED: Readonly<Record<string, string>> = {
  'GET / 503': 'only a server that has too much to do answers this; see limits.test.ts',
  'POST /v1/messages/batch 500': 'what fails for one message is the result of that message',
}

const ENDS_LEASES = /(acknowledge|release|extend)$/
const LATER = '2999-01-01T00:00:00.000Z'
/** A lease that nobody has. */
const NOT_HELD = { shard: 0, leasedAt: 1, lateMs: 0, claim: 1, secret: makeSecret('mails') }
const LOST = { messages: [{ id: 'it', token: encodeLeaseToken(NOT_HELD) }] }
/** For each operation a request that is right, given a message "it". */
const REQUESTS: Readonly<Record<string, { url: string; payload?: unknown }>> = {
  'GET /': { url: '/' },
  'GET /health': { url: '/health' },
  'GET /ready': { url: '/ready' },
  'GET /live': { url: '/live' },
  'GET /metrics': { url: '/metrics' },
  'POST /echoAtTime': { url: '/echoAtTime', payload: { time: LATER, message: 'hello' } },
  'POST /v1/messages': { url: '/v1/messages', payload: { id: 'new', at: LATER, payload: { a: 1 } } },
  'GET /v1/messages': { url: '/v1/messages?limit=10' },
  'POST /v1/messages/batch': {
    url: '/v1/messages/batch',
    payload: {
      messages: [
        { at: LATER, payload: 1 },
        { at: 5, payload: 1 },
      ],
    },
  },
  'GET /v1/messages/{id}': { url: '/v1/messages/it' },
  'PATCH /v1/messages/{id}': { url: '/v1/messages/it', payload: { tags: ['changed'] } },
  'DELETE /v1/messages/{id}': { url: '/v1/messages/it' },
  'POST /v1/messages/cancel': { url: '/v1/messages/cancel', payload: { tag: 'none' } },
  'POST /v1/messages/shift': { url: '/v1/messages/shift', payload: { tag: 'none', byMs: 1 } },
  'POST /v1/queues/{queue}/claim': { url: '/v1/queues/mails/claim', payload: { limit: 10 } },
  'POST /v1/queues/{queue}/acknowledge': { url: '/v1/queues/mails/acknowledge', payload: LOST },
  'POST /v1/queues/{queue}/release': { url: '/v1/queues/mails/release', payload: { ...LOST, delay: '1h' } },
  'POST /v1/queues/{queue}/extend': { url: '/v1/queues/mails/extend', payload: { ...LOST, lockMs: 5_000 } },
  'POST /v1/dead/redrive': { url: '/v1/dead/redrive', payload: { ids: ['none'], perSecond: 0.5 } },
  'DELETE /v1/dead': { url: '/v1/dead', payload: { ids: ['none'] } },
  'GET /v1/forecast': { url: '/v1/forecast?bucketMs=600000' },
  'GET /v1/stats': { url: '/v1/stats' },
}

/** An app whose handlers are never reached. */
const unreached = { bodyLimit: 1_048_576, batchBodyLimit: 16_777_216, now: () => 0 } as unknown as ApiDeps
const doorOnly = (options: Partial<Parameters<typeof buildApp>[0]>) =>
  buildApp({
    api: unreached,
    keys: [],
    checkHealth: async () => undefined,
    checkReady: async () => undefined,
    exposeMetrics: async () => ({ contentType: 'text/plain', text: '' }),
    logger: pino({ level: 'silent' }),
    ...options,
  })

let document: OpenApi
let operations: [name: string, Operation][]
let routes: string[]
let ajv: Ajv2020
const seen = new Set<string>()

beforeAll(async () => {
  const app = await doorOnly({})
  document = (await app.inject('/openapi.json')).json<OpenApi>()
  routes = routesOf(app)
  await app.close()
  operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(
      ([method, operation]) => [`${method.toUpperCase()} ${path}`, operation] as [string, Operation],
    ),
  )
  ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: true })
  formats.default(ajv)
  const closed = structuredClone(document)
  // An answer may hold nothing that the document does not name.
  for (const schema of Object.values(closed.components.schemas)) close(schema)
  ajv.addSchema(closed, 'document', undefined, false)
})

function close(schema: Schema): void {
  if (schema.properties === undefined) return
  schema.additionalProperties ??= false
  for (const property of Object.values(schema.properties)) close(property)
}

/** Every route that is registered, read off the router's own drawing of them. */
function routesOf(app: FastifyInstance): string[] {
  const prefixes: string[] = []
  return app
    .printRoutes()
    .split('\n')
    .flatMap((line) => {
      const [, indent = '', label = '', methods = ''] =
        /^([│ ]*)[├└]── (.*?)(?: \(([A-Z, ]+)\))?$/.exec(line) ?? []
      const depth = indent.length / 4
      const path = (prefixes[depth - 1] ?? '') + label
      prefixes[depth] = path
      return methods
        .split(', ')
        .filter((method) => method !== '' && method !== 'HEAD')
        .map((method) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`)
    })
}

const resolve = <T extends object>(value: T | Ref): T =>
  '$ref' in value && typeof value.$ref === 'string'
    ? (value.$ref
        .slice(2)
        .split('/')
        .reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], document) as T)
    : (value as T)
const escaped = (part: string) => part.replaceAll('~', '~0').replaceAll('/', '~1')
const pointer = (...parts: string[]) =>
  `document#/${parts.map((part) => encodeURIComponent(escaped(part))).join('/')}`

function expectValid($ref: string, value: unknown, what: string): void {
  const valid = ajv.validate({ $ref }, value)
  expect(valid ? [] : ajv.errors, `${what}: ${JSON.stringify(value)}`).toEqual([])
}

/** Holds an answer against what the document says of it. */
function expectAsDocumented(name: string, status: number, answer: LightMyRequestResponse): void {
  const what = `${name} ${status}`
  expect(answer.statusCode, `${what}: ${answer.body}`).toBe(status)
  const [method = '', path = ''] = name.toLowerCase().split(' ')
  const realPath = Object.keys(document.paths).find((each) => each.toLowerCase() === path) ?? ''
  const given = document.paths[realPath]?.[method]?.responses[status]
  if (given === undefined) throw new Error(`${what} is not in the document`)
  const base =
    '$ref' in given
      ? given.$ref.slice(2).split('/')
      : ['paths', realPath, method, 'responses', String(status)]
  const { content, headers = {} } = resolve(given)

  for (const name of ['ETag', 'Location', 'Retry-After', 'Accept-Encoding', 'WWW-Authenticate']) {
    const value = answer.headers[name.toLowerCase()]
    const header = headers[name]
    if (header === undefined) {
      expect(value, `${what} has ${name}, which is not documented`).toBeUndefined()
      continue
    }
    const { required, schema } = resolve(header)
    if (required === true) expect(value, `${what} has no ${name}`).toBeDefined()
    if (value !== undefined)
      expect(ajv.validate(schema, String(value)), `${what}: ${name}: ${value}`).toBe(true)
  }

  if (content === undefined) expect(answer.body, what).toBe('')
  else {
    const type = String(answer.headers['content-type']).split(';')[0] ?? ''
    expect(Object.keys(content), what).toContain(type)
    const body: unknown = type.endsWith('json') && !type.endsWith('ndjson') ? answer.json() : answer.body
    expectValid(pointer(...base, 'content', type, 'schema'), body, what)
  }
  seen.add(what)
}

async function send(
  { app }: { app: FastifyInstance },
  name: string,
  { payload, headers = {}, url }: { payload?: unknown; headers?: Record<string, string>; url?: string } = {},
): Promise<LightMyRequestResponse> {
  const right = REQUESTS[name]
  if (right === undefined) throw new Error(`no request is known for ${name}`)
  const body = payload ?? right.payload
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return app.inject({
    method: name.split(' ')[0] as 'GET',
    url: url ?? right.url,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(text === undefined ? {} : { payload: text }),
  })
}

const statusesOf = (operation: Operation) => Object.keys(operation.responses).map(Number)
const withStatus = (status: number) =>
  operations.filter(([, operation]) => statusesOf(operation).includes(status))

describe('the document', () => {
  it('is valid OpenAPI 3.1', async () => {
    const { valid, errors } = await new Validator().validate(structuredClone(document) as never)
    expect(errors ?? []).toEqual([])
    expect(valid).toBe(true)
  })

  it('has only schemas that a strict JSON Schema 2020-12 compiler takes', () => {
    const strict = new Ajv2020({ strict: true, strictRequired: false, allowUnionTypes: true })
    formats.default(strict)
    strict.addVocabulary(['example', 'discriminator'])
    const text = JSON.stringify(document.components.schemas).replaceAll('#/components/schemas/', '')
    const schemas = JSON.parse(text) as Record<string, object>
    for (const [name, schema] of Object.entries(schemas)) strict.addSchema(schema, name)
    for (const name of Object.keys(schemas)) expect(() => strict.getSchema(name), name).not.toThrow()
  })

  it('names every route, and none that is not there', () => {
    expect(operations.map(([name]) => name).sort()).toEqual(
      routes.filter((route) => !NOT_OF_THE_API.test(route.split(' ')[1] ?? '')).sort(),
    )
  })

  it('says of every operation what it does, and gives it a name and examples', () => {
    const ids = operations.map(([, { operationId }]) => operationId)
    expect(new Set(ids).size).toBe(ids.length)
    for (const [
      name,
      { operationId, summary, description, tags, parameters = [], requestBody, responses },
    ] of operations) {
      expect([operationId, summary, description, tags?.[0]], name).not.toContain(undefined)
      for (const parameter of parameters) {
        expect(parameter.description, `${name} ${parameter.name}`).toBeTruthy()
        expect(hasExample(parameter), `${name} ${parameter.name}`).toBe(true)
      }
      for (const media of Object.values(requestBody?.content ?? {}))
        expect(hasExample(media), name).toBe(true)
      for (const [status, given] of Object.entries(responses)) {
        const { description, content = {} } = resolve(given)
        expect(description, `${name} ${status}`).toBeTruthy()
        for (const media of Object.values(content)) expect(hasExample(media), `${name} ${status}`).toBe(true)
      }
    }
  })

  it('describes every schema and every property, with examples', () => {
    const lacking = Object.entries(document.components.schemas).flatMap(([name, schema]) =>
      lacks(name, schema),
    )
    expect(lacking).toEqual([])
  })

  it('tells the destinations apart by their type', () => {
    const place = (type: string) => `#/components/schemas/${type}Destination`
    expect(document.components.schemas.Destination).toMatchObject({
      oneOf: ['Console', 'Webhook', 'Stream', 'Pull'].map((type) => ({ $ref: place(type) })),
      discriminator: {
        propertyName: 'type',
        mapping: {
          console: place('Console'),
          webhook: place('Webhook'),
          stream: place('Stream'),
          pull: place('Pull'),
        },
      },
    })
    expect(document.components.schemas.Destination).not.toHaveProperty('anyOf')
  })

  it('says of every operation which scope a key needs for it', () => {
    const scopes = operations.map(([name, { security = [] }]) => {
      const [open, ...more] = security
      expect(open, name).toEqual({}) // for a service without keys
      return [name, ...more.flatMap(({ key }) => key)].join(' ')
    })
    expect(scopes).toContain('GET /health')
    expect(scopes).toContain('GET /v1/stats read')
    expect(scopes).toContain('POST /v1/messages write')
    expect(scopes).toContain('DELETE /v1/dead write')
    for (const each of scopes) expect(each.endsWith(' pull'), each).toBe(each.includes('/v1/queues/'))
  })

  it('says that a claim may come without a body, and what else must not', () => {
    const optional = operations.filter(([, { requestBody }]) => requestBody?.required === false)
    expect(optional.map(([name]) => name)).toEqual(['POST /v1/queues/{queue}/claim'])
  })

  it('has only examples that fit', () => {
    const walk = (value: unknown, at: string[]): void => {
      if (typeof value !== 'object' || value === null) return
      const { schema, example, examples } = value as Media
      if (schema !== undefined && example !== undefined)
        expectValid(pointer(...at, 'schema'), example, at.join(' '))
      else if (schema !== undefined && examples !== undefined)
        for (const { value } of Object.values(examples))
          expectValid(pointer(...at, 'schema'), value, at.join(' '))
      else if (Array.isArray(examples))
        for (const each of examples) expectValid(pointer(...at), each, at.join(' '))
      for (const [key, each] of Object.entries(value))
        if (key !== 'example' && key !== 'examples') walk(each, [...at, key])
    }
    walk(document, [])
  })
})

const hasExample = ({ example, examples = {}, schema }: Media) =>
  example !== undefined ||
  Object.keys(examples).length > 0 ||
  (resolve<Schema>(schema).examples ?? []).length > 0

function lacks(name: string, schema: Schema): string[] {
  if (schema.$ref !== undefined) return []
  const { description, examples, properties = {}, items } = schema
  const whole = name.includes('.')
  return [
    ...(description === undefined ? [`${name}: description`] : []),
    // A whole schema shows its example where it is used.
    ...(whole && examples === undefined ? [`${name}: examples`] : []),
    ...Object.entries(properties).flatMap(([key, property]) => lacks(`${name}.${key}`, property)),
    ...(items === undefined ? [] : lacks(`${name}.[]`, items)),
  ]
}

describe('the answers of every route', () => {
  const world = useApp()
  const change = (headers: Record<string, string>) => ({ headers })
  const put = (id: string) =>
    send(world(), 'POST /v1/messages', { payload: { id, at: LATER, payload: { a: 1 }, tags: ['t'] } })
  /** As a worker does that pulls, from a queue of its own. */
  const lease = async (id: string) => {
    const payload = { id, payload: 1, destination: { type: 'pull', queue: id } }
    await send(world(), 'POST /v1/messages', { payload })
    const request = { url: `/v1/queues/${id}/claim`, payload: { waitMs: 5_000 } }
    const claimed = await send(world(), 'POST /v1/queues/{queue}/claim', request)
    expectAsDocumented('POST /v1/queues/{queue}/claim', 200, claimed)
    const [{ token }] = claimed.json<{ messages: [{ token: string }] }>().messages
    return { id, token }
  }
  /** As a server does that begins to deliver it. */
  const claim = async (id: string) => {
    const { client } = world()
    const keys = world().keysFor(id)
    await client.zrem(keys.scheduled, id)
    await client.zadd(keys.claimed, Date.now() + 60_000, id)
    await client.set(keys.lockPrefix + id, 'another server', 'PX', 60_000)
  }

  it('are as documented when all is well', async () => {
    for (const [name, operation] of operations) {
      await put('it')
      const status =
        statusesOf(operation)
          .filter((each) => each < 300)
          .at(-1) ?? 0
      const request = ENDS_LEASES.test(name)
        ? { payload: { messages: [await lease(name.split('/').at(-1) ?? '')] } }
        : {}
      expectAsDocumented(name, status, await send(world(), name, request))
    }
  })

  it('are as documented for leases that are all lost', async () => {
    for (const [name] of operations.filter(([each]) => ENDS_LEASES.test(each)))
      expectAsDocumented(name, 409, await send(world(), name))
  })

  it('are as documented with every destination that a message can have', async () => {
    const headers = { 'x-shop': 'berlin' }
    for (const destination of [
      { type: 'webhook', url: 'https://example.com/', method: 'PUT', headers, timeoutMs: 100 },
      { type: 'stream', name: 'invoices', maxLen: 5 },
      { type: 'pull', queue: 'mails' },
    ]) {
      const payload = { id: 'it', at: LATER, payload: 1, destination }
      const created = await send(world(), 'POST /v1/messages', { payload })
      expectAsDocumented('POST /v1/messages', 201, created)
      expect(created.json()).toMatchObject({ destination })
      const patched = await send(world(), 'PATCH /v1/messages/{id}', { payload: { destination } })
      expectAsDocumented('PATCH /v1/messages/{id}', 200, patched)
      expectAsDocumented('GET /v1/messages', 200, await send(world(), 'GET /v1/messages'))
      expectAsDocumented('DELETE /v1/messages/{id}', 204, await send(world(), 'DELETE /v1/messages/{id}'))
    }
  })

  it('are as documented for a message that exists already', async () => {
    await send(world(), 'POST /v1/messages')
    expectAsDocumented('POST /v1/messages', 200, await send(world(), 'POST /v1/messages'))
    const other = { id: 'new', payload: 'other' }
    expectAsDocumented('POST /v1/messages', 409, await send(world(), 'POST /v1/messages', { payload: other }))
  })

  it('are as documented with every field that a message can have', async () => {
    const retry = { attempts: 3, minMs: 1, maxMs: 2, factor: 2, jitter: 'none' }
    const whole = {
      id: 'it',
      at: LATER,
      payload: null,
      destination: { type: 'console' },
      tags: ['t'],
      retry,
      notAfter: LATER,
      onLate: 'drop',
    }
    expectAsDocumented('POST /v1/messages', 201, await send(world(), 'POST /v1/messages', { payload: whole }))
    expectAsDocumented('GET /v1/messages/{id}', 200, await send(world(), 'GET /v1/messages/{id}'))
    expectAsDocumented('GET /v1/messages', 200, await send(world(), 'GET /v1/messages'))
    const undone = { notAfter: null, onLate: null, retry: null, delay: '90s' }
    expectAsDocumented(
      'PATCH /v1/messages/{id}',
      200,
      await send(world(), 'PATCH /v1/messages/{id}', { payload: undone }),
    )
  })

  it('are as documented with more than one page', async () => {
    await put('a')
    await put('b')
    const first = await send(world(), 'GET /v1/messages', { url: '/v1/messages?limit=1&tag=t' })
    expectAsDocumented('GET /v1/messages', 200, first)
    expect(first.json()).toMatchObject({ messages: [{ id: 'a' }], nextCursor: expect.any(String) })
  })

  it('are as documented for delivered messages', async () => {
    world().startClaiming()
    for (const [id, payload] of [
      ['it', 'x'.repeat(2_000)],
      ['new', 'x'],
    ]) {
      await send(world(), 'POST /v1/messages', { payload: { id, payload } })
    }
    await until('both are delivered', () => world().delivered.length === 2)
    await until('the history has them', async () => {
      const listed = await send(world(), 'GET /v1/messages', { url: '/v1/messages?status=delivered' })
      expectAsDocumented('GET /v1/messages', 200, listed)
      return listed.json<{ messages: unknown[] }>().messages.length === 2
    })
    const found = await send(world(), 'GET /v1/messages/{id}')
    expectAsDocumented('GET /v1/messages/{id}', 200, found)
    expect(found.json()).toMatchObject({ status: 'delivered', payloadOmitted: true })
    expectAsDocumented('DELETE /v1/messages/{id}', 409, await send(world(), 'DELETE /v1/messages/{id}'))
    expectAsDocumented('GET /v1/stats', 200, await send(world(), 'GET /v1/stats'))
  })

  it('are as documented for a message that is being delivered', async () => {
    await put('it')
    await claim('it')
    for (const name of ['PATCH /v1/messages/{id}', 'DELETE /v1/messages/{id}'])
      expectAsDocumented(name, 409, await send(world(), name))
    expectAsDocumented('GET /v1/messages/{id}', 200, await send(world(), 'GET /v1/messages/{id}'))
  })

  it('are as documented for a message at another version', async () => {
    await put('it')
    for (const [name] of withStatus(412)) {
      expectAsDocumented(name, 412, await send(world(), name, change({ 'if-match': '"7"' })))
    }
  })

  it('are as documented for an unknown message', async () => {
    for (const [name] of withStatus(404)) expectAsDocumented(name, 404, await send(world(), name))
  })

  it('are as documented for invalid requests', async () => {
    for (const [name, { requestBody, parameters = [] }] of withStatus(400)) {
      const wrong = requestBody
        ? ['{"a":', '[]', '{"unknown":1}', ...(requestBody.required === false ? [] : [''])]
        : parameters.some((parameter) => parameter.in === 'query')
          ? ['?from=x', '?unknown=1']
          : ['%zz']
      for (const each of wrong) {
        const { url } = REQUESTS[name] ?? { url: '' }
        const broken = requestBody
          ? { payload: each }
          : { url: each === '%zz' ? `${url}${each}` : url.split('?')[0] + each }
        expectAsDocumented(name, 400, await send(world(), name, broken))
      }
    }
  })

  it('are as documented for a body that is too large', async () => {
    const payload = JSON.stringify({ payload: 'x'.repeat(17_000_000) })
    for (const [name] of withStatus(413))
      expectAsDocumented(name, 413, await send(world(), name, { payload }))
  })

  it('are as documented for a body of another type', async () => {
    const headers = { 'content-type': 'application/xml' }
    for (const [name] of withStatus(415)) {
      expectAsDocumented(name, 415, await send(world(), name, { payload: '<x/>', headers }))
    }
  })

  it('are as documented for a body in another content or transfer coding', async () => {
    for (const [name] of withStatus(501)) {
      const answer = await send(world(), name, { headers: { 'content-encoding': 'br' } })
      expectAsDocumented(name, 415, answer)
      expect(answer.headers['accept-encoding']).toBe('gzip')
      const headers = { 'transfer-encoding': 'gzip, chunked' }
      expectAsDocumented(name, 501, await send(world(), name, { headers }))
    }
  })

  it('are as documented for a body that does not come', async () => {
    const app = await doorOnly({
      clientTimes: { ...CLIENT_TIMES, silenceMs: 50, everyMs: 10 },
    })
    onTestFinished(() => app.close())
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    for (const [name] of withStatus(408)) {
      const [method = '', path = ''] = name.split(' ')
      const client = await connectRaw(url)
      const type = 'host: localhost\r\ncontent-type: application/json'
      client.socket.write(
        `${method} ${path.replaceAll(/[{}]/g, '')} HTTP/1.1\r\n${type}\r\ncontent-length: 9\r\n\r\n{`,
      )
      const [head = '', body = ''] = (await client.closed()).split('\r\n\r\n')
      const [, status = '', ...fields] = head.split(/ |\r\n/)
      const isProblem = fields.includes('application/problem+json;')
      expectAsDocumented(name, 408, {
        statusCode: Number(status),
        headers: { 'content-type': isProblem ? 'application/problem+json' : 'application/json' },
        body,
        json: () => JSON.parse(body),
      } as unknown as LightMyRequestResponse)
    }
  })

  it('are as documented line by line, where there are lines', async () => {
    const streamed = operations.filter(([, { requestBody }]) => requestBody?.content['application/x-ndjson'])
    for (const [name, { requestBody }] of streamed) {
      const payload = requestBody?.content['application/x-ndjson']?.example
      const answer = await send(world(), name, {
        payload,
        headers: { 'content-type': 'application/x-ndjson' },
      })
      expectAsDocumented(name, 200, answer)
      expect(answer.headers['content-type']).toMatch(/^application\/x-ndjson/)
    }
  })
})

describe('the answers of an app with failing parts', () => {
  it('are as documented when something fails in the server', async () => {
    const fail = () => Promise.reject(new Error('broken'))
    const broken = new Proxy({}, { get: () => fail }) as never
    const api = { ...unreached, leases: broken, deadLetters: broken, scheduler: broken, bulk: broken }
    const looks = {
      listPage: fail,
      forecast: fail,
      totals: fail,
      servers: fail,
      streams: fail,
      redisFacts: fail,
    }
    const app = await doorOnly({ api: { ...api, ...looks } })
    for (const [name] of withStatus(500)) {
      if (!(`${name} 500` in NOT_PROVOKED)) expectAsDocumented(name, 500, await send({ app }, name))
    }
    await app.close()
  })

  it('are as documented for a message that failed in every way', async () => {
    const whole = { at: 5, claim: 2, status: 503, durationMs: 7, error: 'answered 503', body: 'busy' }
    const dead: Message = {
      ...{ id: 'it', status: 'dead', dueAt: 5, payload: '1', destination: { type: 'console' }, tags: [] },
      ...{ failures: 2, recoveries: 0, version: 1, createdAt: 5, finishedAt: 6, reason: 'timeout' },
      lastAttempts: [whole, { at: 6, claim: 3, durationMs: 15_000 }],
    }
    const scheduler = { find: async () => dead } as unknown as ApiDeps['scheduler']
    const listPage = async () => ({ messages: [dead], end: null })
    const app = await doorOnly({ api: { ...unreached, scheduler, listPage } })
    expectAsDocumented('GET /v1/messages/{id}', 200, await send({ app }, 'GET /v1/messages/{id}'))
    expectAsDocumented('GET /v1/messages', 200, await send({ app }, 'GET /v1/messages'))
    await app.close()
  })
})

describe('the answers without Redis', () => {
  const world = useApp()
  it('are 503 as documented for what needs Redis', async () => {
    const { client } = world()
    client.disconnect()
    // A cluster's may be told of its nodes anew just then, and only ends with the last of them.
    const isUnavailable = () =>
      client instanceof Cluster ? client.status !== 'ready' : client.status === 'end'
    await until('the connection is away', isUnavailable)
    try {
      for (const [name] of withStatus(503)) {
        if (`${name} 503` in NOT_PROVOKED) continue
        expectAsDocumented(name, 503, await send(world(), name))
      }
    } finally {
      await client.connect()
    }
  })
})

describe('the answers at the door', () => {
  const reader = makeApiKey('reader', 'read')
  const writer = makeApiKey('writer', 'write')
  let app: FastifyInstance
  beforeAll(async () => {
    app = await doorOnly({ keys: parseApiKeys(`${reader.entry},${writer.entry}`) })
  })
  afterAll(() => app.close())

  it('are as documented for a client without a key', async () => {
    for (const [name] of withStatus(401)) expectAsDocumented(name, 401, await send({ app }, name))
  })

  it('are as documented for a key without the scope', async () => {
    for (const [name] of withStatus(401)) {
      const { key } = name.startsWith('GET') ? writer : reader
      const headers = { authorization: `Bearer ${key}` }
      expectAsDocumented(name, 403, await send({ app }, name, { headers }))
    }
  })

  it('are as documented for a Host that is not served', async () => {
    const keyless = await doorOnly({})
    const headers = { host: 'rebound.example' }
    for (const [name] of withStatus(403))
      expectAsDocumented(name, 403, await send({ app: keyless }, name, { headers }))
    await keyless.close()
  })

  it('let everybody read the document and the reference', async () => {
    for (const url of ['/openapi.json', '/docs', '/docs/', '/docs/static/swagger-ui.css', '/docs/json']) {
      expect((await app.inject(url)).statusCode, url).toBe(200)
    }
  })

  it('are as documented for a client that asks too often', async () => {
    const limited = await doorOnly({ perMinute: 1 })
    await limited.inject('/')
    for (const [name] of withStatus(429)) expectAsDocumented(name, 429, await send({ app: limited }, name))
    await limited.close()
  })
})

it('the tests provoked everything that the document says', () => {
  const documented = operations.flatMap(([name, operation]) =>
    statusesOf(operation).map((status) => `${name} ${status}`),
  )
  const untried = documented.filter((each) => !seen.has(each) && !(each in NOT_PROVOKED))
  expect(untried).toEqual([])
})

describe('/docs', () => {
  it('loads everything from this server, and may load nothing from elsewhere', async () => {
    const app = await doorOnly({})
    const page = await app.inject('/docs')
    expect(page.headers['content-security-policy']).toMatch(/^default-src 'none'/)
    const parts = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] ?? '')
    expect(parts.length).toBeGreaterThan(3)
    for (const part of parts) expect((await app.inject(part)).statusCode, part).toBe(200)
    await app.close()
  })
})
