import { once } from 'node:events'
import { type IncomingMessage, request as openRequest } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { LIMIT, LINES, later, PATH, type Result, useBatchApi } from '../../../support/batch-api.ts'
import { startFleet } from '../../../support/fleet.ts'
import { startRedis } from '../../../support/redis.ts'
import { until } from '../../../support/until.ts'

const { world, stored, postLines, payloads } = useBatchApi()

const laterLine = (payload: unknown) => `${JSON.stringify(later(payload))}\n`

const listen = () => world().app.listen({ port: 0, host: '127.0.0.1' })

/** Opens a request whose results are read only as they are asked for. */
async function openStream(url: string, connection = 'close') {
  const headers = { ...LINES, connection }
  const request = openRequest(url + PATH, { method: 'POST', headers, agent: false })
  const answered = once(request, 'response') as Promise<[IncomingMessage]>
  answered.catch(() => undefined)
  request.flushHeaders()
  let response: IncomingMessage | undefined
  const results = (async function* (): AsyncGenerator<Result, undefined> {
    ;[response] = await answered
    let half = ''
    for await (const text of response.setEncoding('utf8')) {
      const lines = (half + text).split('\n')
      half = lines.pop() ?? ''
      for (const line of lines) yield JSON.parse(line) as Result
    }
    expect(half).toBe('')
  })()
  return {
    request,
    headers: () => answered,
    next: async () => (await results.next()).value,
    async rest() {
      const all: Result[] = []
      for await (const result of results) all.push(result)
      return all
    },
    isComplete: () => response?.complete,
  }
}

function* repeat(line: string, count: number): Generator<string> {
  const PER_PIECE = 100
  for (let i = 0; i < count; i += PER_PIECE) yield line.repeat(PER_PIECE)
}

describe('an NDJSON stream', () => {
  it('is answered in order, and the messages are there', async () => {
    const wanted = Array.from({ length: 2_500 }, (_, i) => `message ${i}`)
    const results = await postLines(wanted.map(laterLine).join(''))
    expect(results.map(({ line, status }) => [line, status])).toEqual(wanted.map((_, i) => [i + 1, 201]))
    expect(await payloads(results)).toEqual(wanted)
  })

  it('has one failed result for each line that is wrong, and skips blank ones', async () => {
    const wrong = '{"payload":\n  \r\n{"id":"b","payload":1,"at":5}\n{"payload":1,"__proto__":1}\n'
    const text = `\n${laterLine(1)}${wrong}${laterLine(2)}`
    expect(await postLines(text)).toEqual([
      { line: 2, id: expect.any(String), status: 201 },
      { line: 3, status: 400, code: 'invalid', detail: 'body: is not valid JSON' },
      {
        line: 5,
        id: 'b',
        status: 400,
        code: 'invalid',
        detail: expect.stringMatching(/^at: looks like seconds/),
      },
      { line: 6, status: 400, code: 'invalid', detail: '__proto__: unknown field' },
      { line: 7, id: expect.any(String), status: 201 },
    ])
  })

  it('may come byte by byte, with a BOM, with CRLF, and without a last line feed', async () => {
    const text = `\uFEFF${laterLine('äß').trimEnd()}\r\n${laterLine('𝄞').trimEnd()}\r\n${laterLine('€').trimEnd()}`
    const bytes = [...Buffer.from(text)].map((byte) => Buffer.from([byte]))
    const results = await postLines(Readable.from(bytes, { objectMode: false }))
    expect(results.map((result) => result.status)).toEqual([201, 201, 201])
    expect(await payloads(results)).toEqual(['äß', '𝄞', '€'])
  })

  it('may be empty', async () => {
    expect(await postLines('')).toEqual([])
    expect(await postLines('\n\n')).toEqual([])
  })

  it('has one 413 result for a line over the limit for one message', async () => {
    const fill = LIMIT - laterLine('').length + 1
    const text = `${laterLine('x'.repeat(fill)).trimEnd()}\r\n${laterLine('x'.repeat(fill + 1))}${laterLine(1)}`
    const expected = [201, 413, 201]
    expect((await postLines(text)).map((result) => result.status)).toEqual(expected)
    const bytes = [...Buffer.from(text)].map((byte) => Buffer.from([byte]))
    const slowly = await postLines(Readable.from(bytes, { objectMode: false }))
    expect(slowly.map((result) => result.status)).toEqual(expected)
  })

  it('answers each line while the request goes on, the headers before the first', async () => {
    const stream = await openStream(await listen())
    await stream.headers()
    for (let i = 1; i <= 3; i += 1) {
      stream.request.write(laterLine(i))
      expect(await stream.next()).toMatchObject({ line: i, status: 201 })
    }
    stream.request.end()
    expect(await stream.rest()).toEqual([])
    expect(stream.isComplete()).toBe(true)
  })

  it('is told of a line that never ends, and goes on after it if it does end', async () => {
    const stream = await openStream(await listen())
    stream.request.write(laterLine(1))
    for (let i = 0; i < 50; i += 1) stream.request.write('x'.repeat(65_536))
    expect(await stream.next()).toMatchObject({ line: 1, status: 201 })
    expect(await stream.next()).toEqual({
      line: 2,
      status: 413,
      code: 'too_large',
      detail: 'body: is too large',
    })
    stream.request.end(`x\n${laterLine(3)}`)
    expect(await stream.next()).toMatchObject({ line: 3, status: 201 })
    expect(await stream.rest()).toEqual([])
  })

  it('is not read on while the client does not read its results', async () => {
    const LINE = `${'5'.padEnd(200)}\n`
    const COUNT = 200_000
    const url = await listen()
    const connected = once(world().app.server, 'connection') as Promise<[Socket]>
    const stream = await openStream(url)
    const sent = finished(Readable.from(repeat(LINE, COUNT)).pipe(stream.request))
    const [socket] = await connected
    let before = -1
    await until('the server reads no more', async () => {
      const stands = socket.bytesRead === before && before > 0
      before = socket.bytesRead
      await new Promise((resolve) => setTimeout(resolve, 300))
      return stands && socket.bytesRead === before
    })
    expect(socket.bytesRead).toBeLessThan(COUNT * LINE.length)
    expect(await stream.rest()).toHaveLength(COUNT)
    await sent
  })

  it('leaves nothing behind when the client breaks it off', async () => {
    const { app } = world()
    const stream = await openStream(await listen())
    stream.request.write(laterLine(1))
    await stream.next()
    stream.request.on('error', () => undefined)
    stream.request.write(`${laterLine(2)}{"half`)
    await until('the second line is stored', async () => (await stored()) === 2)
    stream.request.destroy()
    const open = () =>
      new Promise<number>((resolve) => app.server.getConnections((_, count) => resolve(count)))
    await until('the connection is gone', async () => (await open()) === 0)
    expect(await stored()).toBe(2)
  })

  it('ends when the server stops, with what was confirmed and a word on the rest', async () => {
    const fleet = await startFleet({ size: 1 })
    const stream = await openStream(fleet.servers[0]?.url ?? '')
    stream.request.write(laterLine(1))
    expect(await stream.next()).toMatchObject({ line: 1, status: 201 })
    const ended = fleet.servers[0]?.end('SIGTERM')
    expect(await stream.rest()).toEqual([
      {
        line: 2,
        status: 503,
        code: 'overloaded',
        detail: 'the server is shutting down; send this line and all later lines again',
      },
    ])
    expect(stream.isComplete()).toBe(true)
    stream.request.destroy()
    expect(await ended).toBe(0)
  })

  it.each(['keep-alive', 'close'])(
    'ends when Redis fails, with 503 for what it did not confirm (connection: %s)',
    async (connection) => {
      const redis = await startRedis()
      onTestFinished(() => redis.stop())
      const fleet = await startFleet({ size: 1, redisUrl: redis.url })
      const stream = await openStream(fleet.servers[0]?.url ?? '', connection)
      stream.request.on('error', () => undefined)
      const closed = once(stream.request, 'close')
      let sent = 0
      const timer = setInterval(() => {
        for (let i = 0; i < 100; i += 1) stream.request.write(laterLine(++sent))
      }, 1)
      const results = [await stream.next()]
      while (results.length < 500) results.push(await stream.next())
      await redis.kill()
      results.push(...(await stream.rest()))
      clearInterval(timer)
      await closed

      expect(stream.isComplete()).toBe(true)
      expect(results.map((result) => result?.line)).toEqual(results.map((_, i) => i + 1))
      expect(new Set(results.map((result) => result?.status))).toEqual(new Set([201, 503]))
      expect(results.at(-1)).toMatchObject({
        status: 503,
        detail: expect.stringMatching(/^Redis is not answering/),
      })
      await redis.start()
      const confirmed = results.flatMap((result) => (result?.status === 201 ? (result.id ?? '') : []))
      const found = await redis.client.hmget(`{${fleet.namespace}:0}:messages`, ...confirmed)
      expect(found.filter((record) => record === null)).toEqual([])
    },
  )
})
