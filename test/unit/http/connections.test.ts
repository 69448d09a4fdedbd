import { once } from 'node:events'
import { pino } from 'pino'
import { describe, expect, it, onTestFinished } from 'vitest'
import { useClientApp } from '../../support/client-app.ts'
import { httpApp } from '../../support/http-app.ts'
import { connectRaw, rawPost } from '../../support/raw-http.ts'
import { until } from '../../support/until.ts'

const MESSAGES = '/v1/messages'
const STREAM = { 'content-type': 'application/x-ndjson', 'transfer-encoding': 'chunked' }

const world = useClientApp()

describe('a client that closes its side after the request', () => {
  const GET = 'GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n'

  it.each([
    ['one request', rawPost(MESSAGES, '{"delay":"1h","payload":1}'), [201]],
    ['of the original service', Buffer.from('GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n'), [200]],
    ['in HTTP/1.0', Buffer.from('GET /live HTTP/1.0\r\n\r\n'), [200]],
    ['kept alive in HTTP/1.0', Buffer.from('GET /live HTTP/1.0\r\nconnection: keep-alive\r\n\r\n'), [200]],
    [
      'pipelined',
      Buffer.concat([rawPost(MESSAGES, '{"delay":"1h","payload":1}'), Buffer.from(GET), Buffer.from(GET)]),
      [201, 200, 200],
    ],
  ])('is answered, then closed: %s', async (_what, bytes, statuses) => {
    let answer = () => {}
    world().ready = new Promise((resolve) => {
      answer = resolve
    })
    const client = await world().open()
    client.socket.end(bytes)
    await until('the server knows', () => client.accept.readableEnded || client.accept.destroyed)
    answer()
    const all = await client.closed()
    expect([...all.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status))).toEqual(statuses)
    await until('the server has let go of it', () => client.accept.destroyed)
  })

  it("gets an error when it closes before the request's end", async () => {
    const client = await world().open()
    client.socket.end(rawPost(MESSAGES, '{').toString().replace('length: 1', 'length: 10'))
    expect(await client.closed()).toMatch(/^HTTP\/1\.1 400 /)
  })
})

describe('a request that is no HTTP after its beginning', () => {
  const WRONG = 'no size of a chunk\r\n'
  const chunked = { 'transfer-encoding': 'chunked', 'content-length': '' }
  const begin = (path: string, headers = {}) =>
    rawPost(path, '', { ...chunked, ...headers })
      .toString()
      .replace('content-length: \r\n', '')

  it('has no second answer when it was answered already', async () => {
    const client = await world().open()
    await client.send(begin('/v1/nothing'))
    await until('it is answered', () => client.received().endsWith('}'))
    await client.send(WRONG)
    expect((await client.closed()).match(/HTTP\/1\.1 /g)).toHaveLength(1)
  })

  it('has nothing in the middle of an answer that is under way', async () => {
    const client = await world().open()
    await client.send(begin(`${MESSAGES}/batch`, STREAM))
    const line = '{"payload":1}\n'
    await client.send(`${line.length.toString(16)}\r\n${line}\r\n`)
    await until('the line is answered', () => client.received().includes('"line":1'))
    await client.send(WRONG)
    expect((await client.closed()).match(/HTTP\/1\.1 /g)).toHaveLength(1)
  })

  it('gets an error where it was not answered', async () => {
    const client = await world().open()
    await client.send(begin(MESSAGES))
    await client.send(WRONG)
    expect(await client.closed()).toMatch(/^HTTP\/1\.1 400 .*not valid HTTP/s)
  })
})

it('a connection that breaks within a body is no error of the server', async () => {
  const logged: string[] = []
  const logger = pino({ level: 'error' }, { write: (line) => void logged.push(line) })
  const logging = await httpApp({}, { logger })
  onTestFinished(() => logging.close())
  let answered = 0
  logging.server.on('request', (_request, response) => response.once('close', () => (answered += 1)))
  const address = await logging.listen({ port: 0, host: '127.0.0.1' })
  const paths = [MESSAGES, '/echoAtTime', `${MESSAGES}/batch`, '/v1/queues/q/claim']
  for (const [i, path] of paths.entries()) {
    const { socket } = await connectRaw(address)
    const begun = once(logging.server, 'request')
    socket.write(rawPost(path, '{').toString().replace('length: 1', 'length: 10'))
    await begun
    socket.resetAndDestroy()
    await until('the server knows', () => answered > i)
  }
  expect(logged).toEqual([])
})

describe('a server that closes', () => {
  it('says so in each answer, and ends what is idle', async () => {
    let answer = () => {}
    world().ready = new Promise((resolve) => {
      answer = resolve
    })
    const requests = [
      rawPost(MESSAGES, '{"delay":"1h","payload":1}'),
      Buffer.from(`DELETE ${MESSAGES}/x HTTP/1.1\r\nhost: localhost\r\n\r\n`),
      rawPost('/echoAtTime', '{"time":"2999-01-01T00:00:00Z","message":"x"}'),
    ]
    const busy = []
    for (const request of requests) {
      const client = await world().open()
      await client.send(request)
      busy.push(client)
    }
    const waiting = await world().open()
    await waiting.send(rawPost('/v1/queues/q/claim', '{"waitMs":20000}'))
    const unfinished = await world().open()
    const bytes = rawPost(MESSAGES, 'not JSON')
    await unfinished.send(bytes.subarray(0, -4))
    const idle = await world().open()
    await idle.send('GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n')
    await until('it is answered', () => idle.received().endsWith('}'))
    expect(idle.received()).toMatch(/\r\nconnection: keep-alive\r\n/i)
    const silent = await world().open()

    const late = await world().open()
    await late.send('GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n')
    await until('it is answered', () => late.received().endsWith('}'))

    late.socket.write('GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n')
    const closed = world().app.close()
    expect(await late.closed()).toMatch(/"}HTTP\/1\.1 200 .*\r\nconnection: close\r\n.*server is ok/is)
    expect(await waiting.closed()).toMatch(/^HTTP\/1\.1 200 .*\r\nconnection: close\r\n/is)
    await idle.closed()
    await silent.closed()
    await unfinished.send(bytes.subarray(-4))
    expect(await unfinished.closed()).toMatch(/^HTTP\/1\.1 400 .*\r\nconnection: close\r\n/is)
    answer()
    const answers = await Promise.all(busy.map((client) => client.closed()))
    for (const [i, status] of [201, 204, 200].entries()) {
      expect(answers[i]).toMatch(new RegExp(`^HTTP/1\\.1 ${status} .*\\r\\nconnection: close\\r\\n`, 'is'))
    }
    await closed
  })
})
