import { once } from 'node:events'
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { makeApiKey, parseApiKeys } from '../../../src/http/plugins/api-keys.ts'
import { auth } from '../../../src/http/plugins/auth.ts'
import { errors } from '../../../src/http/plugins/errors.ts'

const reader = makeApiKey('reader', 'read')
const browser = makeApiKey('browser', 'browse')
const writer = makeApiKey('writer', 'write')
const both = makeApiKey('both', 'read+write')
const puller = makeApiKey('puller', 'pull')
const ordersOnly = makeApiKey('orders', 'pull:eu:orders+pull:mails')
const stranger = makeApiKey('stranger', 'read+write')

let app: FastifyInstance
/** the key's name with each request that came through */
let came: (string | undefined)[]
/** the queue to which each of them is restricted */
let queues: (string | undefined)[]
/** whether each of them may be answered with content */
let seeing: boolean[]

async function build(entries: readonly string[]) {
  came = []
  queues = []
  seeing = []
  app = Fastify()
  await app.register(errors)
  await app.register(auth, { keys: parseApiKeys(entries.join(',')) })
  const handler = async ({ apiKey, onlyQueue, seesContent }: FastifyRequest) => ({
    came: came.push(apiKey),
    queues: queues.push(onlyQueue),
    seeing: seeing.push(seesContent),
  })
  app.get('/', handler)
  app.get('/health', handler)
  const others = [
    '/echoAtTime',
    '/v1/messages',
    '/docs',
    '/docs/static/*',
    '/openapi.json',
    '/metrics',
    '/:any',
  ]
  app.post('/v1/queues/:queue/claim', handler)
  for (const url of [...others, '/v1/messages/:id']) app.route({ method: ['GET', 'POST'], url, handler })
}
const ask = (method: 'GET' | 'HEAD' | 'POST' | 'PATCH', url: string, key?: string) =>
  app.inject({ method, url, headers: key === undefined ? {} : { authorization: `Bearer ${key}` } })

afterEach(() => app.close())

describe('with API_KEYS', () => {
  beforeEach(() => build([reader, browser, writer, both, puller, ordersOnly].map(({ entry }) => entry)))

  it.each(['/', '/?x=1', '/health', '/%68ealth', '/docs', '/docs/static/logo.svg', '/openapi.json'])(
    'GET %s is open',
    async (url) => {
      expect((await ask('GET', url)).statusCode).toBe(200)
      expect((await ask('HEAD', url)).statusCode).toBe(200)
    },
  )

  it.each([
    ['GET', '/v1/messages'],
    ['POST', '/v1/messages'],
    ['GET', '/metrics'],
    ['POST', '/echoAtTime'],
    ['POST', '/docs'],
    ['POST', '/health'],
    ['GET', '/docs2'],
    ['GET', '/docs2/nothing'],
    ['GET', '/%64ocs%2f..'],
    ['GET', '/v1/messages/..%2f..%2fdocs'],
    ['GET', '/v1/messages/docs?/docs/'],
    ['GET', '/nothing/here'],
    ['GET', '//docs/'],
    ['GET', '/health/'],
    ['PATCH', '/v1/messages'],
  ] as const)(
    '%s %s without a key, or with an unknown one, is 401 and goes no further',
    async (method, url) => {
      for (const answer of [await ask(method, url), await ask(method, url, stranger.key)]) {
        expect(answer.statusCode).toBe(401)
        expect(answer.headers['www-authenticate']).toBe('Bearer')
      }
      expect(came).toEqual([])
    },
  )

  it.each([
    ['reader', reader, 'GET', '/v1/messages', 200],
    ['reader', reader, 'HEAD', '/v1/messages', 200],
    ['reader', reader, 'GET', '/metrics', 200],
    ['reader', reader, 'POST', '/v1/messages', 403],
    ['reader', reader, 'PATCH', '/v1/messages', 403],
    ['reader', reader, 'POST', '/echoAtTime', 403],
    ['browser', browser, 'GET', '/v1/messages', 200],
    ['browser', browser, 'GET', '/metrics', 200],
    ['browser', browser, 'POST', '/v1/messages', 403],
    ['writer', writer, 'POST', '/v1/messages', 200],
    ['writer', writer, 'POST', '/echoAtTime', 200],
    ['writer', writer, 'GET', '/v1/messages', 403],
    ['writer', writer, 'HEAD', '/v1/messages', 403],
    ['both', both, 'GET', '/v1/messages', 200],
    ['both', both, 'POST', '/v1/messages', 200],
    ['both', both, 'GET', '/nothing/here', 404],
  ] as const)('%s: $2 $3 answers $4', async (name, { key }, method, url, status) => {
    expect((await ask(method, url, key)).statusCode).toBe(status)
    expect(came).toEqual(status === 200 ? [name] : [])
  })

  it.each([
    ['puller', puller, 'POST', 'any/claim', 200],
    ['puller', puller, 'GET', 'any/claim', 405],
    ['orders', ordersOnly, 'POST', 'mails/claim', 200],
    ['orders', ordersOnly, 'POST', 'eu:orders/claim', 200],
    ['orders', ordersOnly, 'POST', 'eu%3Aorders/claim', 200],
    ['orders', ordersOnly, 'GET', 'mails/claim', 405],
    ['orders', ordersOnly, 'GET', 'mails/nothing', 404],
    ['orders', ordersOnly, 'POST', 'eu/claim', 403],
    ['orders', ordersOnly, 'POST', 'orders/claim', 403],
    ['orders', ordersOnly, 'POST', 'Mails/claim', 403],
    ['orders', ordersOnly, 'POST', 'mails%2F..%2Fother/claim', 403],
    ['orders', ordersOnly, 'GET', 'other/claim', 403],
    ['both', both, 'POST', 'mails/claim', 403],
    ['both', both, 'GET', 'mails/claim', 403],
  ] as const)('%s: $2 of the queue $3 answers $4', async (name, { key }, method, url, status) => {
    expect((await ask(method, `/v1/queues/${url}`, key)).statusCode).toBe(status)
    expect(came).toEqual(status === 200 ? [name] : [])
  })

  it('a key that may only browse sees no content, and any other does', async () => {
    for (const { key } of [browser, reader, both]) await ask('GET', '/v1/messages', key)
    expect(seeing).toEqual([false, true, true])
  })

  it('a queue, however its path is spelt, is one that the key may pull from', async () => {
    expect((await ask('POST', '/v1/%71ueues/mails/claim', both.key)).statusCode).toBe(403)
    expect((await ask('POST', '/v1/%71ueues/%6dails/claim', ordersOnly.key)).statusCode).toBe(200)
    expect((await ask('POST', '/v1/queues/mails/claim', puller.key)).statusCode).toBe(200)
    expect(queues).toEqual(['mails', undefined])
  })

  it('a key for queues is for nothing else', async () => {
    for (const { key } of [puller, ordersOnly]) {
      expect((await ask('GET', '/v1/messages', key)).statusCode).toBe(403)
      expect((await ask('POST', '/v1/messages', key)).statusCode).toBe(403)
      expect((await ask('GET', '/metrics', key)).statusCode).toBe(403)
    }
    expect((await ask('POST', '/v1/queues/other/claim', ordersOnly.key)).json().detail).toBe(
      'authorization: the key orders lacks the scope pull or pull:other',
    )
  })

  it('what a path is for is told only to who may ask there', async () => {
    expect((await ask('PATCH', '/v1/messages')).headers).not.toHaveProperty('allow')
    expect((await ask('PATCH', '/v1/messages', reader.key)).headers).not.toHaveProperty('allow')
    const answer = await ask('PATCH', '/v1/messages', writer.key)
    expect([answer.statusCode, answer.headers.allow]).toEqual([405, 'GET, HEAD, POST'])
  })

  it.each([
    ['of another scheme', `Basic ${both.key}`],
    ['without a scheme', both.key],
    ['of two words', `Bearer ${both.key} ${both.key}`],
    ['without a key', 'Bearer '],
    ['that is an entry of API_KEYS', `Bearer ${both.entry}`],
    ['that is a hash of API_KEYS', `Bearer ${both.entry.split(':')[1]}`],
  ])('a header %s is 401', async (_what, authorization) => {
    const answer = await app.inject({ url: '/v1/messages', headers: { authorization } })
    expect(answer.statusCode).toBe(401)
    expect(answer.body).not.toContain(both.key)
  })

  it('the scheme may be spelt as it likes', async () => {
    const headers = { authorization: `bearer  ${both.key}` }
    expect((await app.inject({ url: '/v1/messages', headers })).statusCode).toBe(200)
  })

  it('refusals are problems under /v1', async () => {
    const unknown = await ask('GET', '/v1/messages')
    expect(unknown.headers['content-type']).toBe('application/problem+json; charset=utf-8')
    expect(unknown.json()).toEqual({
      type: 'about:blank',
      title: 'Unauthorized',
      status: 401,
      code: 'unauthorized',
      detail: 'authorization: expected "Bearer <key>"',
    })
    const forbidden = await ask('POST', '/v1/messages', reader.key)
    expect(forbidden.headers['content-type']).toBe('application/problem+json; charset=utf-8')
    expect(forbidden.json()).toEqual({
      type: 'about:blank',
      title: 'Forbidden',
      status: 403,
      code: 'forbidden',
      detail: 'authorization: the key reader lacks the scope write',
    })
    expect((await ask('GET', '/v1/nothing')).headers['content-type']).toMatch(/^application\/problem\+json/)
  })

  it('refusals have the old form elsewhere', async () => {
    const unknown = await ask('POST', '/echoAtTime', stranger.key)
    expect(unknown.headers['content-type']).toBe('application/json; charset=utf-8')
    expect(unknown.json()).toEqual({
      status: 'error',
      message: 'authorization: unknown API key',
    })
    expect((await ask('POST', '/echoAtTime', reader.key)).json()).toEqual({
      status: 'error',
      message: 'authorization: the key reader lacks the scope write',
    })
  })

  it('a refusal does not wait for the body, and the connection serves on', async () => {
    const { hostname, port } = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const open = (path: string, headers: Record<string, string>) =>
      httpRequest({ hostname, port, path, method: 'POST', agent, headers })
    const body = '{"time":'.padEnd(500_000)

    const refused = open('/echoAtTime', { 'content-type': 'application/json' })
    refused.write(body) // broken and unfinished: whoever read it would say so, or wait
    const [answer] = (await once(refused, 'response')) as [IncomingMessage]
    expect(answer.statusCode).toBe(401)
    const { localPort } = refused.socket ?? {}
    answer.resume()
    refused.end(body)
    await once(answer, 'end')

    const served = open('/echoAtTime', { authorization: `Bearer ${writer.key}` })
    served.end()
    const [next] = (await once(served, 'response')) as [IncomingMessage]
    expect(next.statusCode).toBe(200)
    expect(served.socket?.localPort).toBe(localPort)
    next.resume()
    agent.destroy()
  })
})

describe('without API_KEYS', () => {
  beforeEach(() => build([]))

  it('everybody comes in, with whatever key', async () => {
    expect((await ask('GET', '/v1/messages')).statusCode).toBe(200)
    expect((await ask('POST', '/echoAtTime', stranger.key)).statusCode).toBe(200)
    expect(came).toEqual([undefined, undefined])
  })
})
