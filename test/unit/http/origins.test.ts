import { once } from 'node:events'
import { connect as openSocket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { AppDeps } from '../../../src/http/app.ts'
import { makeApiKey, parseApiKeys } from '../../../src/http/plugins/api-keys.ts'
import { parseAllowedHosts } from '../../../src/http/plugins/hosts.ts'
import type { Leases } from '../../../src/leases/leases.ts'
import { httpApp } from '../../support/http-app.ts'

const { key, entry } = makeApiKey('all', 'read+write+pull')
const keys = parseApiKeys(entry)

/** With a count of the claims that came through. */
async function door(options: Partial<AppDeps> = {}) {
  let claims = 0
  const leases = {
    async claim() {
      claims++
      return []
    },
  } as unknown as Leases
  const app = await httpApp({ leases }, options)
  onTestFinished(() => app.close())
  return { app, claims: () => claims }
}

type Headers = Record<string, string>
const claim = (app: FastifyInstance, headers: Headers) =>
  app.inject({ method: 'POST', url: '/v1/queues/mails/claim', headers })
const health = (app: FastifyInstance, headers: Headers) => app.inject({ url: '/health', headers })

/** @returns what the server answers to these bytes, up to the end of the connection */
async function exchange(app: FastifyInstance, request: string): Promise<string> {
  const { port } = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  const socket = openSocket(Number(port), '127.0.0.1')
  let answer = ''
  socket.on('data', (data) => {
    answer += data
  })
  socket.write(request)
  await once(socket, 'close')
  return answer
}

describe('without keys, the Host', () => {
  it.each([
    'localhost',
    'LOCALHOST:3000',
    'carillon.localhost',
    '127.0.0.1:3000',
    '127.8.9.10',
    '[::1]:3000',
    'localhost.',
  ])('%s is served', async (host) => {
    const { app } = await door()
    expect((await claim(app, { host })).statusCode).toBe(200)
  })

  it.each(['rebound.evil.example', 'localhost.evil.example', '0.0.0.0:3000', '192.0.2.1'])(
    '%j is refused, in the form of the path, and nothing is done',
    async (host) => {
      const { app, claims } = await door()
      const problem = await claim(app, { host })
      expect(problem.statusCode).toBe(403)
      expect(problem.headers['content-type']).toBe('application/problem+json; charset=utf-8')
      expect(problem.json()).toMatchObject({
        status: 403,
        detail: `host: ${host} is not allowed: without API_KEYS, only loopback names and ALLOWED_HOSTS are`,
      })
      expect(claims()).toBe(0)
      for (const url of ['/', '/docs', '/openapi.json', '/metrics', '/nothing']) {
        const plain = await app.inject({ url, headers: { host } })
        expect(plain.statusCode, url).toBe(403)
        expect(plain.json()).toMatchObject({ status: 'error', message: problem.json().detail })
      }
    },
  )

  it.each(['/health', '/ready', '/live'])('may be any for %s', async (url) => {
    const { app } = await door()
    expect((await app.inject({ url, headers: { host: '10.0.0.7:3000' } })).statusCode).toBe(200)
    expect((await app.inject({ url: `${url}?x`, headers: { host: 'a.example' } })).statusCode).toBe(200)
  })

  it('may be one of ALLOWED_HOSTS', async () => {
    const { app } = await door({ allowedHosts: parseAllowedHosts('carillon.internal,10.0.0.7:3000') })
    for (const host of ['carillon.internal', 'carillon.internal:8080', '10.0.0.7:3000'])
      expect((await claim(app, { host })).statusCode, host).toBe(200)
    for (const host of ['10.0.0.7', 'other.internal'])
      expect((await claim(app, { host })).statusCode).toBe(403)
  })

  it('may be any with ALLOW_OPEN, and with keys', async () => {
    const host = 'rebound.evil.example'
    const open = await door({ allowOpen: true })
    expect((await claim(open.app, { host })).statusCode).toBe(200)
    const keyed = await door({ keys })
    expect((await claim(keyed.app, { host, authorization: `Bearer ${key}` })).statusCode).toBe(200)
    expect((await claim(keyed.app, { host })).statusCode).toBe(401)
  })

  it('is refused without being repeated when it is invalid', async () => {
    const { app } = await door()
    const answer = await claim(app, { host: 'me@localhost' })
    expect(answer.statusCode).toBe(403)
    expect(answer.json().detail).toBe('host: must be a host name or address, with an optional port')
  })

  const END = 'connection: close\r\n\r\n'
  it.each([
    [
      'a target that is a URL of another host',
      `GET http://evil.example/metrics HTTP/1.1\r\nhost: localhost\r\n${END}`,
      403,
    ],
    [
      'a target that is a URL of this one',
      `GET http://localhost/metrics HTTP/1.1\r\nhost: localhost\r\n${END}`,
      200,
    ],
    ['an empty Host', `GET /metrics HTTP/1.1\r\nhost:\r\n${END}`, 403],
    ['two Hosts', `GET /metrics HTTP/1.1\r\nhost: localhost\r\nHost: evil.example\r\n${END}`, 400],
    ['no Host, as no browser sends it', 'GET /metrics HTTP/1.0\r\n\r\n', 200],
  ])('is checked: %s', async (_what, request, status) => {
    const { app } = await door()
    expect(await exchange(app, request)).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
  })

  it('is refused in the form of the path when the target is a URL', async () => {
    const { app } = await door()
    const answer = await exchange(
      app,
      `GET http://evil.example/v1/stats HTTP/1.1\r\nhost: localhost\r\n${END}`,
    )
    expect(answer).toMatch(/^HTTP\/1.1 403 [\s\S]*application\/problem\+json/)
  })
})

describe('a page of another site', () => {
  const host = '127.0.0.1:3000'
  const FOREIGN: [what: string, headers: Headers][] = [
    ['by its Origin', { origin: 'http://evil.example' }],
    ['by an Origin that is hidden', { origin: 'null' }],
    ['by an Origin that is empty', { origin: '' }],
    ['by the port of its Origin', { origin: 'http://127.0.0.1:3001' }],
    ['by the default port of its Origin', { origin: 'http://127.0.0.1' }],
    ['by another name of this machine', { origin: 'http://localhost:3000' }],
    ['by an Origin of another scheme', { origin: 'chrome-extension://127.0.0.1:3000' }],
    ['by an Origin that only begins as this server does', { origin: 'http://127.0.0.1:3000.evil.example' }],
    ['by two Origins', { origin: 'http://127.0.0.1:3000, http://evil.example' }],
    ['by Sec-Fetch-Site', { 'sec-fetch-site': 'cross-site' }],
    ['by Sec-Fetch-Site, whatever its Origin', { 'sec-fetch-site': 'cross-site', origin: `http://${host}` }],
    ['of this site by its Origin', { 'sec-fetch-site': 'same-site', origin: 'http://127.0.0.1:8080' }],
  ]

  it.each(FOREIGN)('is refused and nothing is done when it is known %s', async (_what, headers) => {
    const { app, claims } = await door()
    const answer = await claim(app, { host, ...headers })
    expect(answer.statusCode).toBe(403)
    expect(answer.json().detail).toMatch(/^(origin|sec-fetch-site): .*CORS_ORIGINS/)
    expect(answer.headers).not.toHaveProperty('access-control-allow-origin')
    expect(claims()).toBe(0)
    for (const url of ['/metrics', '/v1/nothing', '/nothing'])
      expect((await app.inject({ url, headers: { host, ...headers } })).statusCode, url).toBe(403)
    for (const method of ['POST', 'DELETE', 'OPTIONS'] as const)
      expect((await app.inject({ method, url: '/health', headers: { host, ...headers } })).statusCode).toBe(
        403,
      )
  })

  it.each(FOREIGN)(
    'is refused with keys and with ALLOW_OPEN, too, when it is known %s',
    async (_what, headers) => {
      const keyed = await door({ keys })
      const withKey = { host, authorization: `Bearer ${key}`, ...headers }
      expect((await claim(keyed.app, withKey)).statusCode).toBe(403)
      const open = await door({ allowOpen: true })
      expect((await claim(open.app, { host, ...headers })).statusCode).toBe(403)
    },
  )

  it('may read what is open to all', async () => {
    const { app } = await door()
    const headers = { host, origin: 'http://evil.example', 'sec-fetch-site': 'cross-site' }
    for (const url of ['/', '/health', '/ready', '/live', '/openapi.json', '/docs'])
      expect((await app.inject({ url, headers })).statusCode, url).toBe(200)
  })

  it('is refused before its body is read', async () => {
    const { app } = await door()
    const answer = await exchange(
      app,
      'POST /echoAtTime HTTP/1.1\r\nhost: localhost\r\norigin: null\r\ncontent-length: 9\r\nconnection: close\r\n\r\n',
    )
    expect(answer).toMatch(/^HTTP\/1.1 403 [\s\S]*\{"status":"error","message":"origin: null /)
  })
})

describe("a page of this server's own", () => {
  it.each([
    ['no browser', {}],
    ['its Host', { origin: 'http://127.0.0.1:3000', 'sec-fetch-site': 'same-origin' }],
    ['a navigation by hand', { 'sec-fetch-site': 'none' }],
    ['a link on the same site', { 'sec-fetch-site': 'same-site' }],
    ['a name of ALLOWED_HOSTS', { origin: 'https://carillon.example' }],
    ['a name and port of ALLOWED_HOSTS', { origin: 'https://other.example:8443' }],
  ])('is served by %s', async (_what, headers: Headers) => {
    const { app } = await door({ allowedHosts: parseAllowedHosts('carillon.example,other.example:8443') })
    expect((await claim(app, { host: '127.0.0.1:3000', ...headers })).statusCode).toBe(200)
  })

  it.each([
    ['carillon.example', 'https://carillon.example', 200],
    ['carillon.example:443', 'https://carillon.example', 200],
    ['carillon.example:443', 'http://carillon.example', 403],
    ['carillon.example', 'https://carillon.example:8443', 403],
  ])('is answered by Host %s and Origin %s with %s', async (host, origin, status) => {
    const { app } = await door({ allowOpen: true })
    expect((await claim(app, { host, origin })).statusCode).toBe(status)
  })
})

describe('CORS_ORIGINS', () => {
  const origin = 'https://app.example.com'
  const crossSite = { host: '127.0.0.1:3000', origin, 'sec-fetch-site': 'cross-site' }
  const preflight = {
    ...crossSite,
    'access-control-request-method': 'PATCH',
    'access-control-request-headers': 'authorization,content-type',
  }

  it('let a page in, and its browser ask for leave without a key', async () => {
    const { app } = await door({ keys, corsOrigins: [origin] })
    const leave = await app.inject({ method: 'OPTIONS', url: '/v1/messages/it', headers: preflight })
    expect(leave.statusCode).toBe(204)
    expect(leave.headers).toMatchObject({
      'access-control-allow-origin': origin,
      'access-control-allow-methods': 'GET, HEAD, POST, PATCH, DELETE',
      'access-control-allow-headers': 'authorization,content-type',
      'access-control-max-age': '600',
    })
    expect(leave.headers).not.toHaveProperty('access-control-allow-credentials')

    const claimed = await claim(app, { ...crossSite, authorization: `Bearer ${key}` })
    expect(claimed.statusCode).toBe(200)
    expect(claimed.headers).toMatchObject({
      'access-control-allow-origin': origin,
      'access-control-expose-headers': 'ETag, Location, Retry-After',
      vary: 'Origin',
    })
    const refused = await claim(app, crossSite)
    expect(refused.statusCode).toBe(401)
    expect(refused.headers['access-control-allow-origin']).toBe(origin)
  })

  it('let in no other page', async () => {
    const { app } = await door({ corsOrigins: [origin] })
    for (const other of [
      'http://app.example.com',
      'https://app.example.com:444',
      'https://evil.example',
      'null',
    ]) {
      const headers = { ...preflight, origin: other }
      const leave = await app.inject({ method: 'OPTIONS', url: '/v1/messages', headers })
      expect(leave.statusCode, other).toBe(403)
      expect(leave.headers).not.toHaveProperty('access-control-allow-origin')
      expect((await claim(app, headers)).statusCode, other).toBe(403)
    }
  })

  it('are none unless set: a browser that asks for leave is refused', async () => {
    const { app } = await door()
    const leave = await app.inject({ method: 'OPTIONS', url: '/v1/messages', headers: preflight })
    expect(leave.statusCode).toBe(403)
    const { headers } = await health(app, crossSite)
    expect(headers).not.toHaveProperty('access-control-allow-origin')
    expect(headers).not.toHaveProperty('vary')
  })
})
