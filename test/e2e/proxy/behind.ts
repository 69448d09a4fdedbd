import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, onTestFinished } from 'vitest'
import { parseAllowedHosts } from '../../../src/http/plugins/hosts.ts'
import { parseTrustedProxies } from '../../../src/http/plugins/trusted-proxies.ts'
import type { Scheduler } from '../../../src/messages/scheduler.ts'
import { endChild, startChild } from '../../support/children.ts'
import { httpApp } from '../../support/http-app.ts'
import { PATH_OF_PROGRAMS, type ProxyName } from '../../support/programs.ts'
import { until } from '../../support/until.ts'

/** The docs' example for a proxy, with other ports: what is tried is what is written there. */
function exampleFor(language: ProxyName, ports: { readonly ours: number; readonly proxy: number }): string {
  const page = readFileSync('docs/operate/proxies.md', 'utf8')
  const example = new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 's').exec(page)?.[1]
  if (example === undefined) throw new Error(`docs/operate/proxies.md has no example for ${language}`)
  return example
    .replaceAll('127.0.0.1:3000', `127.0.0.1:${ports.ours}`)
    .replaceAll('8080', String(ports.proxy))
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/**
 * Starts the app, and the proxy before it.
 *
 * @param argsFor how the proxy is started, given a folder of its own and its configuration's file in it
 * @param toFile the whole configuration around the docs' example
 */
async function start(
  proxy: ProxyName,
  argsFor: (folder: string, file: string) => string[],
  toFile: (example: string) => string,
) {
  const scheduler = {
    schedule: async () => ({ id: 'a', dueAt: 1, createdAt: 1, duplicate: false }),
  } as unknown as Scheduler
  const app = await httpApp(
    { scheduler },
    {
      isTrustedProxy: parseTrustedProxies('127.0.0.1'),
      allowedHosts: parseAllowedHosts('carillon.example'),
      perMinute: 20,
    },
  )
  onTestFinished(() => app.close())
  const ours = Number(new URL(await app.listen({ port: 0, host: '127.0.0.1' })).port)
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'carillon-proxy-'))
  const file = join(folder, 'config')
  writeFileSync(file, toFile(exampleFor(proxy, { ours, proxy: port })))
  const env = { PATH: PATH_OF_PROGRAMS, HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder }
  const child = startChild(proxy, argsFor(folder, file), { env, stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', (chunk) => {
    said += chunk
  })
  onTestFinished(async () => {
    await endChild(child, 'SIGTERM')
    rmSync(folder, { recursive: true, force: true })
  })

  /** Asks as a client with that address. */
  const ask = async (
    path: string,
    { from = '127.0.0.1', method = 'GET', headers = {}, body = '' }: AskOptions = {},
  ) => {
    const request = httpRequest({
      ...{ host: '127.0.0.1', port, path, method, localAddress: from, agent: false },
      headers: { host: `carillon.example:${port}`, ...headers },
    })
    request.end(body)
    const [response] = await once(request, 'response')
    return { status: response.statusCode as number, headers: response.headers, body: await text(response) }
  }
  await until(`${proxy} answers`, async () => {
    if (child.exitCode !== null) throw new Error(`${proxy} ended: ${said}`)
    return (await ask('/carillon/live').catch(() => undefined))?.status === 200
  })
  return { ask, port }
}

interface AskOptions {
  readonly from?: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** What holds behind every proxy that is set up as the docs say. */
export async function expectToWorkBehind(...args: Parameters<typeof start>): Promise<void> {
  const { ask, port } = await start(...args)
  const origin = `http://carillon.example:${port}`

  for (const page of ['/carillon/', '/carillon/docs', '/carillon/docs/']) {
    const { body } = await ask(page, { from: '127.0.0.2' })
    const links = [...body.matchAll(/(?:src|href)="([^"#]+)"/g)].map((match) => match[1] ?? '')
    const url = new URL(links[0] ?? '', origin + page)
    expect(url.pathname, page).toMatch(/^\/carillon\//)
    expect((await ask(url.pathname, { from: '127.0.0.2' })).status, url.href).toBe(200)
  }
  expect((await ask('/carillon/', { from: '127.0.0.2' })).body).toContain(`${origin}/carillon/v1/messages`)

  const headers = { 'content-type': 'application/json', origin }
  const stored = await ask('/carillon/v1/messages', { method: 'POST', headers, body: '{"payload":1}' })
  expect([stored.status, stored.headers.location]).toEqual([201, '/carillon/v1/messages/a'])
  const foreign = { ...headers, origin: 'http://evil.example' }
  expect((await ask('/carillon/v1/messages', { method: 'POST', headers: foreign, body: '{}' })).status).toBe(
    403,
  )
  const rebound = { headers: { host: 'rebound.example' }, from: '127.0.0.2' }
  expect((await ask('/carillon/metrics', rebound)).status).toBe(403)

  // Each client has its own minute, whatever it says of itself.
  const statuses = new Set<number>()
  for (let i = 0; i < 21; i += 1) {
    const spoofed = { from: '127.0.0.3', headers: { 'x-forwarded-for': `192.0.2.${i}` } }
    statuses.add((await ask('/carillon/', spoofed)).status)
  }
  expect([...statuses]).toEqual([200, 429])
  expect((await ask('/carillon/', { from: '127.0.0.4' })).status).toBe(200)
}
