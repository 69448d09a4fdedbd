import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { CLIENT_TIMES } from '../../../src/http/connections/client-timeouts.ts'
import type { Leases } from '../../../src/leases/leases.ts'
import type { Scheduler } from '../../../src/messages/scheduler.ts'
import { httpApp } from '../../support/http-app.ts'
import { connectRaw, rawPost } from '../../support/raw-http.ts'
import { until } from '../../support/until.ts'

const MESSAGE = JSON.stringify({ delay: '1h', payload: 'x'.repeat(80_000) })
const MESSAGES = '/v1/messages'
const STREAM = { 'content-type': 'application/x-ndjson', 'transfer-encoding': 'chunked' }
const { silenceMs, averageFromMs, everyMs, lingerMs } = CLIENT_TIMES

let app: FastifyInstance
let url: string
/** what the routes wait for before they answer */
let ready: Promise<void>

beforeEach(async () => {
  ready = Promise.resolve()
  const schedule = async () => {
    await ready
    return { id: '~1', duplicate: false, dueAt: 0, createdAt: 0 }
  }
  const claim = async (_queue: string, { waitMs }: { waitMs: number }, signal: AbortSignal) => {
    if (waitMs > 0 && !signal.aborted) await once(signal, 'abort')
    return []
  }
  app = await httpApp({
    scheduler: { schedule, cancel: () => ready } as unknown as Scheduler,
    leases: { claim } as unknown as Leases,
  })
  onTestFinished(() => app.close()) // after the connections of the test
  url = await app.listen({ port: 0, host: '127.0.0.1' })
})

/** Connects. @returns the connection, what the server has of it, and how to wait until it has read all */
async function open() {
  const accepted = once(app.server, 'connection') as Promise<[Socket]>
  const connection = await connectRaw(url)
  const [accept] = await accepted
  let sent = 0
  return {
    ...connection,
    accept,
    async send(bytes: string | Buffer) {
      sent += Buffer.byteLength(bytes)
      connection.socket.write(bytes)
      await until('it is read', () => accept.bytesRead === sent)
    },
  }
}

describe('a client that owes bytes', () => {
  // Only the looks of the server: sockets go on as they are.
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }))
  afterEach(() => void vi.useRealTimers())
  const pass = (ms: number) => vi.advanceTimersByTime(ms)

  it.each([
    [MESSAGES, '"status":408'],
    ['/echoAtTime', '"status":"error"'],
  ])('gets an error when it sends none of the body of %s for a minute', async (path, form) => {
    const client = await open()
    await client.send(rawPost(path, '{').toString().replace('length: 1', 'length: 200000'))
    await client.send('x'.repeat(150_000)) // enough for its average
    pass(everyMs) // sees what has come
    pass(silenceMs - everyMs)
    await client.send('x')
    pass(silenceMs)
    await new Promise(setImmediate)
    expect(client.received()).toBe('')
    pass(everyMs)
    const answer = await client.closed()
    expect(answer).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/)
    expect(answer).toMatch(/\r\nconnection: close\r\n/i)
    expect(answer).toContain(form)
    expect(answer).toContain('the request took too long to arrive')
  })

  it('is cut off by its average rate when it drips', async () => {
    const client = await open()
    await client.send(rawPost(MESSAGES, '{').toString().replace('length: 1', 'length: 10000'))
    for (let ms = 0; ms < averageFromMs; ms += 5_000) {
      expect(client.received()).toBe('')
      await client.send(' ')
      pass(5_000)
    }
    expect(await client.closed()).toMatch(/^HTTP\/1\.1 408 /)
  })

  it('has all the time it takes when it sends more than a kibibyte a second', async () => {
    const client = await open()
    const bytes = rawPost(MESSAGES, MESSAGE)
    for (let at = 0; at < bytes.length; at += 1_200) {
      await client.send(bytes.subarray(at, at + 1_200))
      pass(1_000)
    }
    await until('it is answered', () => client.received().startsWith('HTTP/1.1 201 '))
  })

  it('may drip in a stream of lines, but not be silent', async () => {
    const client = await open()
    const head = rawPost(`${MESSAGES}/batch`, '', STREAM).toString().replace('content-length: 0\r\n', '')
    await client.send(head)
    const line = `${JSON.stringify({ delay: '1h', payload: 1 })}\n`
    for (let i = 1; i <= 5; i += 1) {
      await client.send(`${line.length.toString(16)}\r\n${line}\r\n`)
      await until('the line is answered', () => client.received().includes(`"line":${i},`))
      pass(silenceMs - everyMs)
    }
    pass(2 * everyMs)
    const answer = await client.closed()
    expect(answer).toContain('{"line":6,"status":408,"detail":"the request took too long to arrive"}')
  })

  it('is cut off when nobody waits for the bytes', async () => {
    const client = await open()
    await client.send(rawPost('/v1/nothing', '{').toString().replace('length: 1', 'length: 10000'))
    await until('it is answered', () => client.received().startsWith('HTTP/1.1 404 '))
    pass(averageFromMs)
    await client.closed()
  })

  it('is not one whose request is complete, and that waits', async () => {
    const client = await open()
    await client.send(rawPost('/v1/queues/q/claim', '{"waitMs":20000}'))
    pass(10 * silenceMs)
    client.socket.end()
    expect(await client.closed()).toMatch(/^HTTP\/1\.1 200 /)
  })

  it('is cut off soon after the server has closed its side', async () => {
    const client = await open()
    await client.send('no HTTP at all\r\n\r\n')
    expect(await client.closed()).toMatch(/^HTTP\/1\.1 400 /)
    pass(lingerMs + everyMs)
    await until('the server has let go of it', () => client.accept.destroyed)
  })
})

it('a connection that says nothing, or half of its headers, is ended', async () => {
  const quick = await httpApp({}, { clientTimes: { ...CLIENT_TIMES, silenceMs: 100, everyMs: 20 } })
  onTestFinished(() => quick.close())
  const address = await quick.listen({ port: 0, host: '127.0.0.1' })
  const clients = [await connectRaw(address), await connectRaw(address)]
  clients[1]?.socket.write('GET / HTTP/1.1\r\nhost: loc')
  for (const client of clients) expect(await client.closed()).toMatch(/^HTTP\/1\.1 408 /)
})

it('connections beyond their number are refused, and taken again once there are fewer', async () => {
  const small = await httpApp({}, { maxConnections: () => 2 })
  onTestFinished(() => small.close())
  const address = await small.listen({ port: 0, host: '127.0.0.1' })
  const [first] = [await connectRaw(address), await connectRaw(address)]
  const third = await connectRaw(address)
  expect(await third.closed()).toBe('')
  first?.socket.destroy()
  await until('one is taken', async () => {
    const next = await connectRaw(address)
    next.socket.end('GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n')
    return (await next.closed()).startsWith('HTTP/1.1 200 ')
  })
})

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
    ready = new Promise((resolve) => {
      answer = resolve
    })
    const client = await open()
    client.socket.end(bytes)
    await until('the server knows', () => client.accept.readableEnded || client.accept.destroyed)
    answer()
    const all = await client.closed()
    expect([...all.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status))).toEqual(statuses)
    await until('the server has let go of it', () => client.accept.destroyed)
  })

  it("gets an error when it closes before the request's end", async () => {
    const client = await open()
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
    const client = await open()
    await client.send(begin('/v1/nothing'))
    await until('it is answered', () => client.received().endsWith('}'))
    await client.send(WRONG)
    expect((await client.closed()).match(/HTTP\/1\.1 /g)).toHaveLength(1)
  })

  it('has nothing in the middle of an answer that is under way', async () => {
    const client = await open()
    await client.send(begin(`${MESSAGES}/batch`, STREAM))
    const line = '{"payload":1}\n'
    await client.send(`${line.length.toString(16)}\r\n${line}\r\n`)
    await until('the line is answered', () => client.received().includes('"line":1'))
    await client.send(WRONG)
    expect((await client.closed()).match(/HTTP\/1\.1 /g)).toHaveLength(1)
  })

  it('gets an error where it was not answered', async () => {
    const client = await open()
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
    ready = new Promise((resolve) => {
      answer = resolve
    })
    const requests = [
      rawPost(MESSAGES, '{"delay":"1h","payload":1}'),
      Buffer.from(`DELETE ${MESSAGES}/x HTTP/1.1\r\nhost: localhost\r\n\r\n`),
      rawPost('/echoAtTime', '{"time":"2999-01-01T00:00:00Z","message":"x"}'),
    ]
    const busy = []
    for (const request of requests) {
      const client = await open()
      await client.send(request)
      busy.push(client)
    }
    const waiting = await open()
    await waiting.send(rawPost('/v1/queues/q/claim', '{"waitMs":20000}'))
    const unfinished = await open()
    const bytes = rawPost(MESSAGES, 'not JSON')
    await unfinished.send(bytes.subarray(0, -4))
    const idle = await open()
    await idle.send('GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n')
    await until('it is answered', () => idle.received().endsWith('}'))
    expect(idle.received()).toMatch(/\r\nconnection: keep-alive\r\n/i)
    const silent = await open()

    const late = await open()
    await late.send('GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n')
    await until('it is answered', () => late.received().endsWith('}'))

    late.socket.write('GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n')
    const closed = app.close()
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
