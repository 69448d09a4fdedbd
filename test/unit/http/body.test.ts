import { gzipSync } from 'node:zlib'
import type { FastifyInstance } from 'fastify'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { createRequestsInFlight } from '../../../src/http/plugins/requests-in-flight.ts'
import type { Scheduler } from '../../../src/messages/scheduler.ts'
import { httpApp } from '../../support/http-app.ts'
import { connectRaw, rawPost } from '../../support/raw-http.ts'
import { until } from '../../support/until.ts'

const LIMIT = 1_000
const BATCH_LIMIT = 20_000
const ECHO = '/echoAtTime'
const MESSAGES = '/v1/messages'
const BATCH = '/v1/messages/batch'
const LINES = 'application/x-ndjson'

let app: FastifyInstance
let stored: string[]

beforeEach(async () => {
  stored = []
  const schedule = async ({ payload }: { payload: string }) => {
    stored.push(JSON.parse(payload) as string)
    return { id: `~${stored.length}`, duplicate: false, dueAt: 0, createdAt: 0 }
  }
  app = await httpApp({
    scheduler: { schedule } as unknown as Scheduler,
    bodyLimit: LIMIT,
    batchBodyLimit: BATCH_LIMIT,
  })
  onTestFinished(() => app.close()) // after the connections of the test
})

const message = (payload: string) => JSON.stringify({ delay: '1h', payload })
const echo = (text: string) => JSON.stringify({ time: '2999-01-01T00:00:00Z', message: text })
const batch = (...payloads: string[]) =>
  JSON.stringify({ messages: payloads.map((payload) => ({ delay: '1h', payload })) })
const lines = (...payloads: string[]) => payloads.map((payload) => `${message(payload)}\n`).join('')
/** 0xFC is ü in ISO 8859-1, and nothing in UTF-8. */
const latin1 = (text: string) => Buffer.from(text, 'latin1')

async function post(url: string, payload: string | Buffer, headers: Record<string, string> = {}) {
  const all = { 'content-type': 'application/json', ...headers }
  const answer = await app.inject({ method: 'POST', url, payload, headers: all })
  const body = answer.headers['content-type'] === LINES ? {} : answer.json<Record<string, unknown>>()
  return {
    status: answer.statusCode,
    detail: body.detail ?? body.message,
    headers: answer.headers,
    results: answer.body
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Record<string, unknown>),
  }
}

const WAYS = [
  { way: 'the original route', url: ECHO, bodyOf: echo },
  { way: 'a message', url: MESSAGES, bodyOf: message },
  { way: 'a JSON batch', url: BATCH, bodyOf: batch },
]

describe('a body', () => {
  it.each(WAYS)('is UTF-8, or $way is a 400 that names the byte', async ({ url, bodyOf }) => {
    const body = bodyOf('J\xFCrgen')
    const at = body.indexOf('\xFC')
    const wrong = await post(url, latin1(body))
    expect(wrong).toMatchObject({ status: 400, detail: `body: is not UTF-8: byte ${at} is 0xfc` })
    const positions: [bytes: number[], at: number][] = [
      [[0xef, 0xbf, 0xbd, 0xc3], 3], // the replacement character itself is fine
      [[0xed, 0xa0, 0x80], 0], // a surrogate
      [[0xc0, 0x80], 0], // more bytes than it takes
      [[0xf0, 0x9f, 0x94], 0], // cut short
      [[0xf4, 0x90, 0x80, 0x80], 0], // past the last character
    ]
    for (const [bytes, offset] of positions) {
      const answer = await post(url, Buffer.concat([Buffer.from('"'), Buffer.from(bytes), Buffer.from('"')]))
      expect(answer.detail).toMatch(`byte ${1 + offset} is 0x`)
      expect(answer.status).toBe(400)
    }
    expect(stored).toEqual([])
    expect((await post(url, bodyOf('Jürgen \uFFFD 🔔'))).status).toBeLessThan(300)
    expect(stored).toEqual(['Jürgen \uFFFD 🔔'])
  })

  it.each(WAYS)(
    "is refused with 415 and the charset's name in another charset, for $way",
    async ({ url, bodyOf }) => {
      for (const charset of ['iso-8859-1', '"UTF-16"', 'windows-1252', 'us-ascii']) {
        const type = `application/json; charset=${charset}`
        const wrong = await post(url, latin1(bodyOf('x')), { 'content-type': type })
        expect(wrong.status, charset).toBe(415)
        expect(wrong.detail).toBe(
          `content-type: charset ${charset.replaceAll('"', '')} is not supported; it must be utf-8`,
        )
      }
      for (const parameter of ['charset=utf-8', 'charset="UTF-8"', 'Charset=utf8', 'profile=x']) {
        const right = await post(url, bodyOf('x'), { 'content-type': `application/json; ${parameter}` })
        expect(right.status, parameter).toBeLessThan(300)
      }
    },
  )

  it.each(WAYS)('is decoded from gzip, within its limit, for $way', async ({ url, bodyOf }) => {
    const gzip = { 'content-encoding': 'gzip' }
    for (const coding of ['gzip', 'x-gzip', 'GZIP']) {
      const answer = await post(url, gzipSync(bodyOf('ä'.repeat(200))), { 'content-encoding': coding })
      expect(answer.status, coding).toBeLessThan(300)
    }
    const two = Buffer.concat([gzipSync(bodyOf('x').slice(0, 9)), gzipSync(bodyOf('x').slice(9))])
    expect((await post(url, two, gzip)).status).toBeLessThan(300)
    expect(stored).toEqual([...Array(3).fill('ä'.repeat(200)), 'x'])

    const fine = gzipSync(bodyOf('x'))
    const garbage = Buffer.concat([fine, Buffer.from('and more than a header has')])
    for (const wrong of [fine.subarray(0, -5), garbage, Buffer.from(bodyOf('x')), Buffer.alloc(0)]) {
      const answer = await post(url, wrong, gzip)
      expect(answer.status).toBe(400)
      if (wrong.length > 0) expect(answer.detail).toBe('body: is not valid gzip')
    }
    expect(await post(url, gzipSync(latin1(bodyOf('J\xFCrgen'))), gzip)).toMatchObject({ status: 400 })
    const bomb = gzipSync(bodyOf('x'.repeat(30_000_000)))
    expect(bomb.length).toBeLessThan(100_000)
    expect(await post(url, bomb, gzip)).toMatchObject({ status: 413, detail: 'body: is too large' })
    const small = gzipSync(bodyOf('x'.repeat(30_000)))
    expect(small.length).toBeLessThan(LIMIT)
    expect(await post(url, small, gzip)).toMatchObject({ status: 413, detail: 'body: is too large' })
  })

  it.each(WAYS)(
    'is refused with 415 and the accepted codings in another content coding, for $way',
    async (way) => {
      for (const coding of ['br', 'deflate', 'zstd', 'gzip, gzip', 'aws-chunked']) {
        const answer = await post(way.url, way.bodyOf('x'), { 'content-encoding': coding })
        expect(answer.status, coding).toBe(415)
        expect(answer.detail).toBe(
          `content-encoding: ${coding} is not supported; it must be gzip, or left out`,
        )
        expect(answer.headers['accept-encoding']).toBe('gzip')
      }
      expect((await post(way.url, way.bodyOf('x'), { 'content-encoding': 'identity' })).status).toBeLessThan(
        300,
      )
    },
  )

  it('is refused with 413 when it promises or has too much', async () => {
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    const promise = await connectRaw(url)
    promise.socket.write(rawPost(MESSAGES, '', { 'content-length': String(LIMIT + 1) }))
    await until('it is refused unread', () => promise.received().startsWith('HTTP/1.1 413'))
    const chunked = await connectRaw(url)
    const head = rawPost(MESSAGES, '').toString().replace('content-length: 0', 'transfer-encoding: chunked')
    chunked.socket.write(`${head}${(LIMIT + 1).toString(16)}\r\n${'x'.repeat(LIMIT + 1)}\r\n`)
    await until('it is refused', () => chunked.received().startsWith('HTTP/1.1 413'))
  })

  it('may begin with a byte order mark', async () => {
    expect((await post(MESSAGES, `\uFEFF${message('x')}`)).status).toBe(201)
    expect(stored).toEqual(['x'])
  })
})

describe('a stream of lines', () => {
  const stream = (payload: string | Buffer, headers: Record<string, string> = {}) =>
    post(BATCH, payload, { 'content-type': LINES, ...headers })

  it('has a 400 for each line that is not UTF-8, and takes the others', async () => {
    const answer = await stream(latin1(lines('a', 'J\xFCrgen', 'b')))
    expect(answer.status).toBe(200)
    const at = message('J\xFCrgen').indexOf('\xFC')
    expect(answer.results.map(({ line, status, detail }) => [line, status, detail])).toEqual([
      [1, 201, undefined],
      [2, 400, `body: is not UTF-8: byte ${at} is 0xfc`],
      [3, 201, undefined],
    ])
    expect(stored).toEqual(['a', 'b'])
  })

  it('is refused with 415 in another charset or content coding', async () => {
    expect((await stream(lines('a'), { 'content-type': `${LINES}; charset=latin1` })).status).toBe(415)
    expect((await stream(lines('a'), { 'content-encoding': 'br' })).status).toBe(415)
    expect(stored).toEqual([])
  })

  it('is decoded from gzip, each line within its limit', async () => {
    const gzip = { 'content-encoding': 'gzip' }
    const many = Array.from({ length: 2_000 }, (_, i) => `message ${i}`)
    const answer = await stream(gzipSync(lines(...many, 'x'.repeat(10_000_000), 'last')), gzip)
    expect(answer.results.map(({ status }) => status)).toEqual([...Array(2_000).fill(201), 413, 201])
    expect(stored).toEqual([...many, 'last'])
  })

  it('ends with a line that says so when it stops being gzip', async () => {
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    const whole = gzipSync(lines('a', 'b'))
    for (const wrong of [
      whole.subarray(0, -6),
      Buffer.concat([whole, Buffer.from('more of it, in plain')]),
    ]) {
      const connection = await connectRaw(url)
      connection.socket.write(rawPost(BATCH, wrong, { 'content-type': LINES, 'content-encoding': 'gzip' }))
      expect(await connection.closed()).toMatch(
        /"status":400,"code":"invalid","detail":"body: is not valid gzip"}\n/,
      )
    }
  })
})

describe('a request', () => {
  it('is refused with 501 in another transfer coding than chunked', async () => {
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    for (const coding of ['gzip, chunked', 'deflate, chunked', 'gzip', 'identity', 'chunked, gzip']) {
      for (const path of [ECHO, MESSAGES]) {
        const { socket, received } = await connectRaw(url)
        const head = rawPost(path, '').toString().replace('content-length: 0', `transfer-encoding: ${coding}`)
        socket.write(`${head}0\r\n\r\n`)
        await until('it is answered', () => received().includes('\r\n\r\n'))
        expect(received(), coding).toMatch(/^HTTP\/1\.1 501 .*transfer-encoding/s)
        socket.end()
        await until('it is over', () => socket.readableEnded || socket.destroyed)
        expect(received().match(/HTTP\/1\.1 /g), coding).toHaveLength(1)
      }
    }
    expect(stored).toEqual([])
  })

  it('is refused with 400 when its path or query is not UTF-8', async () => {
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    for (const path of [
      '/v1/messages/J%FCrgen',
      '/v1/messages?tag=J%FCrgen',
      '/v1/messages?tag=%ED%A0%80',
      '/v1/messages?tag=%zz',
      '/v1/messages?tag=J\xFCrgen',
      '/v1/messages/J\xFCrgen',
    ]) {
      const { socket, received } = await connectRaw(url)
      socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`, 'latin1')
      await until('it is answered', () => received().includes('\r\n\r\n'))
      expect(received(), path).toMatch(/^HTTP\/1\.1 400 /)
    }
  })
})

describe('all bodies under way', () => {
  it('are bounded together, and what is answered, fails or is left makes room', () => {
    const gone: (() => void)[] = []
    const socket = () => ({ once: (_event: string, told: () => void) => gone.push(told) }) as never
    const inFlight = createRequestsInFlight(100)
    const [a, b, c] = [inFlight.add(socket()), inFlight.add(socket()), inFlight.add(socket())]
    expect(a.holdBytes(1_000)).toBe(true) // alone
    expect(b.hasRoomFor(1)).toBe(false)
    a.remove()
    expect([b.holdBytes(60), c.holdBytes(50), c.hasRoomFor(41), c.hasRoomFor(40)]).toEqual([
      true,
      false,
      false,
      true,
    ])
    gone[1]?.()
    expect(b.holdBytes(1)).toBe(false)
    b.remove()
    expect([c.holdBytes(100), c.holdBytes(1), inFlight.count]).toEqual([true, true, 1])
    c.remove()
    c.remove()
    expect(inFlight.count).toBe(0)
    expect(a.holdBytes(5)).toBe(true)
    const [e, f] = [inFlight.add(socket()), inFlight.add(socket())]
    expect([e.setHeldBytes(90), f.holdBytes(20), e.setHeldBytes(10), f.holdBytes(20)]).toEqual([
      true,
      false,
      true,
      true,
    ])
    expect([e.setHeldBytes(81), e.setHeldBytes(80)]).toEqual([false, true])
    for (const each of [e, f]) each.remove()
    const d = inFlight.add(socket())
    expect([d.holdBytes(100), inFlight.count]).toEqual([true, 1])
  })
})
