import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect as openSocket } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Scheduler } from '../../../src/messages/scheduler.ts'
import { httpApp } from '../../support/http-app.ts'

const scheduler = {
  schedule: async () => ({ id: '~0abc', dueAt: 1, createdAt: 1, duplicate: false }),
  cancel: async () => undefined,
} as unknown as Scheduler

/** Sends bytes to a whole app. @returns all that it answers up to the end of the connection, as text */
async function exchange(request: string): Promise<string> {
  const app = await httpApp({ scheduler }, { corsOrigins: ['https://app.example.com'] })
  onTestFinished(() => app.close())
  const { port } = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  const socket = openSocket(Number(port), '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  let answer = ''
  socket.setEncoding('utf8').on('data', (text) => {
    answer += text
  })
  socket.write(request)
  await once(socket, 'close')
  return answer
}

const ask = (line: string, headers = '', body = '') =>
  exchange(`${line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n${headers}\r\n${body}`)
const post = (path: string, type: string, body: string) =>
  ask(`POST ${path}`, `content-type: ${type}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n`, body)

const CONSTANT = {
  'x-content-type-options': ['nosniff'],
  'content-security-policy': ["default-src 'none'; frame-ancestors 'none'"],
  'cross-origin-resource-policy': ['same-origin'],
  'referrer-policy': ['no-referrer'],
}

/** @returns the status, and every value that each of the headers has */
function read(answer: string) {
  const [head = ''] = answer.split('\r\n\r\n', 1)
  const [statusLine = '', ...lines] = head.split('\r\n')
  const valuesOf = (name: string) =>
    lines
      .filter((line) => line.toLowerCase().startsWith(`${name}:`))
      .map((line) => line.slice(name.length + 2))
  return {
    status: Number(statusLine.split(' ')[1]),
    headers: Object.fromEntries(Object.keys(CONSTANT).map((name) => [name, valuesOf(name)])),
  }
}

describe('the security headers', () => {
  it.each<[what: string, status: number, answer: () => Promise<string>]>([
    ['a stored message', 201, () => post('/v1/messages', 'application/json', '{"payload":1}')],
    ['an answer without a body', 204, () => ask('DELETE /v1/messages/a')],
    ['an answer to HEAD', 200, () => ask('HEAD /health')],
    ['a stream of results', 200, () => post('/v1/messages/batch', 'application/x-ndjson', '{"payload":1}\n')],
    [
      'the original route',
      200,
      () => post('/echoAtTime', 'application/json', '{"time":"2999-01-01T00:00:00Z","message":"x"}'),
    ],
    ['the document', 200, () => ask('GET /openapi.json')],
    ['measures', 200, () => ask('GET /metrics')],
    ['a field that is wrong', 400, () => post('/v1/messages', 'application/json', '{}')],
    ['a path that cannot be read', 400, () => ask('GET /v1/messages/%zz')],
    ['a page of another site', 403, () => ask('POST /echoAtTime', 'origin: null\r\n')],
    ['a path that is not there', 404, () => ask('GET /nothing')],
    ['a method that is not there', 405, () => ask('PUT /v1/messages')],
    [
      'a body that is too large',
      413,
      () => ask('POST /echoAtTime', 'content-type: application/json\r\ncontent-length: 99999999\r\n'),
    ],
    ['a body of another type', 415, () => post('/echoAtTime', 'text/plain', 'x')],
    ['an expectation that is not supported', 417, () => ask('GET /health', 'expect: cake\r\n')],
    ['headers that are too large', 431, () => ask('GET /health', `x: ${'x'.repeat(20_000)}\r\n`)],
    ['what is not HTTP', 400, () => exchange('NONSENSE\r\n\r\n')],
    [
      'a browser that asks for leave',
      204,
      () =>
        ask(
          'OPTIONS /v1/messages',
          'origin: https://app.example.com\r\naccess-control-request-method: POST\r\n',
        ),
    ],
  ])('are in the answer to %s, once each', async (_what, status, answer) => {
    expect(read(await answer())).toEqual({ status, headers: CONSTANT })
  })

  it.each(['/', '/docs', '/docs/', '/docs/static/swagger-ui.css'])(
    'are in %s, which has a policy of its own, and may not be framed either',
    async (path) => {
      const { status, headers } = read(await ask(`GET ${path}`))
      const [policy, ...more] = headers['content-security-policy'] ?? []
      expect(status).toBe(200)
      expect(more).toEqual([])
      expect(policy).toMatch(/^default-src 'none'; .*; frame-ancestors 'none'$/)
      expect({ ...headers, 'content-security-policy': null }).toEqual({
        ...CONSTANT,
        'content-security-policy': null,
      })
    },
  )

  it('let the page at / have its own style', async () => {
    const answer = await ask('GET /')
    const style = /<style>(.*?)<\/style>/s.exec(answer)?.[1] ?? ''
    const sha256 = createHash('sha256').update(style).digest('base64')
    expect(read(answer).headers['content-security-policy']?.[0]).toContain(`style-src 'sha256-${sha256}';`)
  })
})
