import type { FastifyInstance } from 'fastify'
import { describe, expect, it, onTestFinished } from 'vitest'
import { parseAllowedHosts } from '../../../src/http/plugins/hosts.ts'
import { parseTrustedProxies } from '../../../src/http/plugins/trusted-proxies.ts'
import type { Scheduler } from '../../../src/messages/scheduler.ts'
import { httpApp } from '../../support/http-app.ts'

const PROXY = '10.1.2.3'
const FORWARDED = {
  'x-forwarded-for': '192.0.2.9, 192.0.2.1',
  'x-forwarded-host': 'carillon.example',
  'x-forwarded-proto': 'https',
  'x-forwarded-prefix': '/apps/carillon/',
}

async function behind(perMinute = 0): Promise<FastifyInstance> {
  const scheduler = {
    schedule: async () => ({ id: 'a', dueAt: 1, createdAt: 1, duplicate: false }),
  } as unknown as Scheduler
  const isTrustedProxy = parseTrustedProxies('10.0.0.0/8')
  const allowedHosts = parseAllowedHosts('carillon.example')
  const app = await httpApp({ scheduler }, { isTrustedProxy, allowedHosts, perMinute })
  onTestFinished(() => app.close())
  return app
}
const post = (app: FastifyInstance, remoteAddress: string, headers: Record<string, string>) =>
  app.inject({ method: 'POST', url: '/v1/messages', remoteAddress, headers, payload: { payload: 1 } })

describe('TRUST_PROXY', () => {
  it.each([
    ['127.0.0.1', '127.0.0.1', true],
    ['127.0.0.1', '::ffff:127.0.0.1', true],
    ['127.0.0.1', '127.0.0.2', false],
    ['10.0.0.0/8, ::1', '10.255.0.1', true],
    ['10.0.0.0/8, ::1', '::1', true],
    ['10.0.0.0/8, ::1', '11.0.0.1', false],
    ['fd00::/8', 'fd12::1', true],
    ['fd00::/8', '253.0.0.1', false],
    ['0.0.0.0/0', '', false],
  ])('set to %s, trusts %j: %s', (text, address, trusted) => {
    expect(parseTrustedProxies(text)(address)).toBe(trusted)
  })

  it.each(['true', 'loopback', 'proxy.internal', '10.0.0.0/33', '10.1', '::1/129', '127.0.0.1,', '1', '/8'])(
    '%j is refused',
    (text) => {
      expect(() => parseTrustedProxies(text)).toThrow(/^"[^"]*" is not an address or CIDR$/)
    },
  )
})

describe('a request through a proxy', () => {
  it("is answered for the client's address when the proxy is trusted", async () => {
    const app = await behind()
    expect((await post(app, PROXY, FORWARDED)).headers.location).toBe('/apps/carillon/v1/messages/a')
    const page = await app.inject({ url: '/', remoteAddress: PROXY, headers: FORWARDED })
    expect(page.body).toContain('https://carillon.example/apps/carillon/v1/messages')
  })

  it('is answered as if the proxy were the client when the proxy is not trusted', async () => {
    const app = await behind()
    expect((await post(app, '192.0.2.7', FORWARDED)).headers.location).toBe('/v1/messages/a')
    const page = await app.inject({ url: '/', remoteAddress: '192.0.2.7', headers: FORWARDED })
    expect(page.body).toContain('http://localhost:80/v1/messages')
  })

  it.each(['//evil.example', '/a//b', 'carillon', '/a"b', '/a b', '/a\\b', ''])(
    'has no prefix where %j is none',
    async (prefix) => {
      const app = await behind()
      const headers = { ...FORWARDED, 'x-forwarded-prefix': prefix }
      expect((await post(app, PROXY, headers)).headers.location).toBe('/v1/messages/a')
    },
  )

  it('is limited by the address of the client, and not by what the client says it is', async () => {
    const app = await behind(1)
    const ask = async (remoteAddress: string, from: string) =>
      (await app.inject({ url: '/', remoteAddress, headers: { 'x-forwarded-for': from } })).statusCode
    expect(await ask(PROXY, '192.0.2.1')).toBe(200)
    expect(await ask(PROXY, '192.0.2.2')).toBe(200)
    expect(await ask(PROXY, '192.0.2.1')).toBe(429)
    expect(await ask(PROXY, '198.51.100.1, 192.0.2.1')).toBe(429)
    expect(await ask('192.0.2.7', '198.51.100.2')).toBe(200)
    expect(await ask('192.0.2.7', '198.51.100.3')).toBe(429)
  })

  it('has the Host that a trusted proxy tells checked beside its own', async () => {
    const app = await behind()
    const from = async (remoteAddress: string, forwarded: string, origin?: string) => {
      const headers = { 'x-forwarded-host': forwarded, ...(origin === undefined ? {} : { origin }) }
      return (await post(app, remoteAddress, headers)).statusCode
    }
    expect(await from(PROXY, 'carillon.example', 'https://carillon.example')).toBe(201)
    expect(await from(PROXY, 'localhost:8080', 'http://localhost:8080')).toBe(201)
    expect(await from(PROXY, 'rebound.example')).toBe(403)
    expect(await from('192.0.2.7', 'rebound.example')).toBe(201) // nobody's word, and so not looked at
    expect(await from('192.0.2.7', 'localhost:8080', 'http://localhost:8080')).toBe(403)
    const host = { host: 'rebound.example', 'x-forwarded-host': 'localhost' }
    expect((await post(app, PROXY, host)).statusCode).toBe(403)
  })
})

describe('below a path of a proxy that says nothing of it', () => {
  const at = 'http://proxy.example/carillon'
  const get = async (app: FastifyInstance, url: string) => app.inject(url)
  const linksOf = (html: string) =>
    [...html.matchAll(/(?:src|href)="([^"#]+)"/g)].map((match) => match[1] ?? '')

  it.each(['/', '/docs', '/docs/'])('all links of %s lead to what is there', async (page) => {
    const app = await behind()
    const links = linksOf((await get(app, page)).body)
    expect(links.length).toBeGreaterThan(1)
    for (const link of links) {
      const url = new URL(link, at + page).href
      expect(url.startsWith(`${at}/`), link).toBe(true)
      expect((await get(app, url.slice(at.length))).statusCode, url).toBe(200)
    }
  })

  it.each(['/openapi.json', '/docs/json'])('%s says that the API is there, too', async (path) => {
    const app = await behind()
    const { servers } = (await get(app, path)).json<{ servers: [{ url: string }] }>()
    expect(new URL(servers[0].url, at + path).href).toBe(`${at}/`)
  })
})
