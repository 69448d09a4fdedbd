import { once } from 'node:events'
import { type IncomingMessage, request as openRequest } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import Fastify from 'fastify'
import { describe, expect, it, onTestFinished } from 'vitest'
import { SchedulerError } from '../../../src/domain/errors.ts'
import { errorMapper } from '../../../src/http/plugins/errors.ts'
import { fits } from '../../../src/http/v1/batch/batch.ts'
import { createLineSplitter } from '../../../src/http/v1/batch/lines.ts'
import { answerLines } from '../../../src/http/v1/batch/ndjson.ts'
import { batchRoutes } from '../../../src/http/v1/batch/routes.ts'
import { validatorCompiler } from '../../../src/http/validation/validation.ts'
import type { Scheduled, Scheduler } from '../../../src/messages/scheduler.ts'
import { useApp } from '../../support/app.ts'
import { startFleet } from '../../support/fleet.ts'
import { startRedis } from '../../support/redis.ts'
import { until } from '../../support/until.ts'

interface Result {
  line?: number
  id?: string
  status: number
  detail?: string
}

const PATH = '/v1/messages/batch'
const LINES = { 'content-type': 'application/x-ndjson' }
const LIMIT = 2_048
const BATCH_LIMIT = 1_048_576
const world = useApp({ BODY_LIMIT_BYTES: String(LIMIT), BATCH_BODY_LIMIT_BYTES: String(BATCH_LIMIT) })

const stored = () => world().stored()
const postText = (text: string, type = 'application/json') =>
  world().app.inject({ method: 'POST', url: PATH, headers: { 'content-type': type }, payload: text })
const postBatch = async (messages: unknown[]) => {
  const answer = await postText(JSON.stringify({ messages }))
  expect(answer.statusCode).toBe(200)
  return answer.json<{ results: Result[] }>().results
}
const postLines = async (payload: string | Buffer | Readable) => {
  const answer = await world().app.inject({ method: 'POST', url: PATH, headers: LINES, payload })
  expect(answer.statusCode).toBe(200)
  expect(answer.headers['content-type']).toBe('application/x-ndjson')
  return parseLines(answer.body)
}
const parseLines = (text: string) =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Result)
const later = (payload: unknown) => ({ delay: '2h', payload })
const laterLine = (payload: unknown) => `${JSON.stringify(later(payload))}\n`
const payloads = async (results: readonly Result[]) => {
  const records = await Promise.all(
    results.map(({ id = '' }) => world().client.hget(world().keysFor(id).messages, id)),
  )
  return records.map((record) => JSON.parse(record?.slice(record.indexOf('\n') + 1) ?? 'null') as unknown)
}

describe('a JSON batch', () => {
  it('is answered in order, and the messages are there', async () => {
    const wanted = Array.from({ length: 2_500 }, (_, i) => `message ${i}`)
    const results = await postBatch(wanted.map(later))
    expect(results.every((result) => result.status === 201)).toBe(true)
    expect(await payloads(results)).toEqual(wanted)
  })

  it('stores what is right and names what is wrong in the words of the single route', async () => {
    const wrong = [
      { payload: 1, at: 5 },
      { payload: 1, id: '../x' },
      { delay: '1h', id: 'fine' },
      { payload: 1, more: 1 },
      5,
      null,
      { payload: 1, at: '2030-01-01T00:00:00Z', delay: 1 },
      { payload: 1, notAfter: '2001-01-01T00:00:00Z' },
    ]
    const mixed = wrong.flatMap((message, i) => [message, later(i)])
    const results = await postBatch(mixed)
    for (const [i, message] of mixed.entries()) {
      const { app } = world()
      const single = await app.inject({
        method: 'POST',
        url: '/v1/messages',
        payload: JSON.stringify(message),
        headers: { 'content-type': 'application/json' },
      })
      if (i % 2 === 1) expect(results[i]).toEqual({ id: expect.stringMatching(/^~/), status: 201 })
      else {
        expect(results[i]).toMatchObject({ status: 400, detail: single.json<Result>().detail })
        expect(single.statusCode).toBe(400)
      }
    }
    expect(results[4]?.id).toBe('fine')
    expect(results[2]?.id).toBeUndefined()
  })

  it('tells known ids from new ones, also among its own', async () => {
    const message = { id: 'a', ...later(1) }
    const results = await postBatch([message, message, { ...message, payload: 2 }])
    expect(results).toEqual([
      { id: 'a', status: 201 },
      { id: 'a', status: 200 },
      { id: 'a', status: 409, detail: expect.stringMatching(/^id: is known already/) },
    ])
    expect(await stored()).toBe(1)
  })

  it('takes 10,000 messages, and none of 10,001', async () => {
    const tooMany = await postText(JSON.stringify({ messages: Array(10_001).fill(later(1)) }))
    expect(tooMany.statusCode).toBe(400)
    expect(tooMany.headers['content-type']).toBe('application/problem+json; charset=utf-8')
    expect(tooMany.json()).toMatchObject({
      detail: 'messages: must be an array of up to 10,000 messages',
    })
    expect(await stored()).toBe(0)
    expect(await postBatch(Array(10_000).fill(later(1)))).toHaveLength(10_000)
    expect(await stored()).toBe(10_000)
  })

  it('may be empty', async () => {
    expect(await postBatch([])).toEqual([])
  })

  it.each([
    ['an array', '[]', 400],
    ['no messages', '{}', 400],
    ['messages that are no array', '{"messages":{}}', 400],
    ['an unknown field', '{"messages":[],"more":1}', 400],
    ['null', 'null', 400],
    ['broken JSON', '{"messages":[', 400],
    ['nothing', '', 400],
    ['more than the limit', `{"messages":["${'x'.repeat(BATCH_LIMIT)}"]}`, 413],
  ])('that is %s is one problem', async (_what, text, status) => {
    const answer = await postText(text)
    expect(answer.statusCode).toBe(status)
    expect(answer.json()).toMatchObject({ status, detail: expect.any(String) })
  })

  it('with a message over the limit for one has one 413 result', async () => {
    const fill = LIMIT - Buffer.byteLength(JSON.stringify(later('')))
    const results = await postBatch([
      later('x'.repeat(fill)),
      later('x'.repeat(fill + 1)),
      later('ä'.repeat(fill / 2 + 1)),
      later(1),
    ])
    expect(results.map((result) => result.status)).toEqual([201, 413, 413, 201])
    expect(results[1]).toEqual({ status: 413, detail: 'body: is too large' })
  })

  it('with a message nested too deeply has one failed result, as have lines', async () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
    const answer = await postText(`{"messages":[{"payload":${deep}},${JSON.stringify(later(1))}]}`)
    expect(answer.json<{ results: Result[] }>().results.map((result) => result.status)).toEqual([400, 201])
    const lines = await postLines(
      `{"payload":${deep.slice(99_499, 100_501)}}\n{"payload":${deep.slice(99_500, 100_500)}}`,
    )
    expect(lines.map((result) => result.status)).toEqual([400, 201])
  })
})

describe('another content type', () => {
  it.each([['text/plain'], ['application/xml'], ['application/json-seq']])(
    '%s is 415, naming both',
    async (type) => {
      const answer = await postText('x', type)
      expect(answer.statusCode).toBe(415)
      expect(answer.json()).toMatchObject({
        status: 415,
        detail: 'content-type: must be application/json or application/x-ndjson',
      })
    },
  )

  it('none at all is 415 too', async () => {
    expect((await world().app.inject({ method: 'POST', url: PATH })).statusCode).toBe(415)
  })
})

describe('when Redis leaves messages unconfirmed', () => {
  /** The route on a scheduler that has Redis fail for every payload above `last`. */
  async function postFailing(last: number, messages: unknown[]) {
    const app = Fastify()
    onTestFinished(() => app.close())
    app.setValidatorCompiler(validatorCompiler)
    await app.register(errorMapper)
    const schedule: Scheduler['schedule'] = async ({ payload }) => {
      if (Number(payload) > last) throw new SchedulerError('STORE_UNAVAILABLE', 'away', { perhapsDone: true })
      return { id: `~0${payload}`, dueAt: 0, createdAt: 0, duplicate: false } satisfies Scheduled
    }
    const scheduler = { schedule } as Scheduler
    await app.register(batchRoutes, {
      scheduler,
      now: Date.now,
      checkDestination: () => [],
      bodyLimit: LIMIT,
      batchBodyLimit: BATCH_LIMIT,
      prefix: '/v1',
    })
    return app.inject({ method: 'POST', url: PATH, payload: { messages } })
  }

  it('they get 503 and the others their own', async () => {
    const answer = await postFailing(1, [later(1), later(2), 'wrong'])
    expect(answer.statusCode).toBe(200)
    expect(answer.json()).toEqual({
      results: [
        { id: '~01', status: 201 },
        { status: 503, detail: expect.stringMatching(/^Redis is not answering/) },
        { status: 400, detail: expect.any(String) },
      ],
    })
  })

  it('the whole batch is a 503 problem if none was stored', async () => {
    const answer = await postFailing(0, ['wrong', later(1), later(2)])
    expect(answer.statusCode).toBe(503)
    expect(answer.headers['retry-after']).toBe('1')
    expect(answer.json()).toMatchObject({ type: 'urn:carillon:problem:store-unavailable', status: 503 })
  })

  it('a batch that is wrong altogether is no failure of Redis', async () => {
    expect((await postFailing(0, ['wrong'])).statusCode).toBe(200)
  })
})

describe('an NDJSON stream', () => {
  it('is answered in order, and the messages are there', async () => {
    const wanted = Array.from({ length: 2_500 }, (_, i) => `message ${i}`)
    const results = await postLines(wanted.map(laterLine).join(''))
    expect(results.map(({ line, status }) => [line, status])).toEqual(wanted.map((_, i) => [i + 1, 201]))
    expect(await payloads(results)).toEqual(wanted)
  })

  it('has one failed result for each line that is wrong, and skips blank ones', async () => {
    const text = `\n${laterLine(1)}{"payload":\n  \r\n{"id":"b","payload":1,"at":5}\n{"payload":1,"__proto__":1}\n${laterLine(2)}`
    expect(await postLines(text)).toEqual([
      { line: 2, id: expect.any(String), status: 201 },
      { line: 3, status: 400, detail: 'body: is not valid JSON' },
      { line: 5, id: 'b', status: 400, detail: expect.stringMatching(/^at: looks like seconds/) },
      { line: 6, status: 400, detail: '__proto__: is not a field that is known here' },
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
    expect(await stream.next()).toEqual({ line: 2, status: 413, detail: 'body: is too large' })
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

  it('that the client breaks off leaves nothing behind', async () => {
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
      { line: 2, status: 503, detail: 'the server is stopping; send this line and those after it again' },
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

describe('answerLines', () => {
  const quick = { takeText: async () => ({ id: 'x', status: 201 as const }) }
  const options = {
    intake: quick,
    bodyLimit: LIMIT,
    ending: new AbortController().signal,
    onEarlyEnd: () => undefined,
  }

  it('has no more than 500 lines in hand, however long Redis takes', async () => {
    let taken = 0
    const stuck = {
      takeText: () => {
        taken += 1
        return new Promise<never>(() => undefined)
      },
    }
    const source = Readable.from([Buffer.from('{}\n'.repeat(5_000))], { objectMode: false })
    const answers = answerLines(source, { ...options, intake: stuck })
    await answers.next()
    void answers.next()
    await until('it has read what it may', () => taken === 500)
    for (let i = 0; i < 10; i += 1) await new Promise(setImmediate)
    expect(taken).toBe(500)
  })

  it('reads no further than its results are taken', async () => {
    let read = 0
    const source = new Readable({
      highWaterMark: 1,
      read() {
        read += 1
        this.push('{}\n'.repeat(500))
      },
    })
    const answers = answerLines(source, options)
    for (let i = 0; i < 3; i += 1) await answers.next()
    for (let i = 0; i < 10; i += 1) await new Promise(setImmediate)
    expect(read).toBeLessThan(10)
    source.destroy()
  })

  it('keeps few large lines in hand', async () => {
    let taken = 0
    const stuck = {
      takeText: () => {
        taken += 1
        return new Promise<never>(() => undefined)
      },
    }
    const source = Readable.from(Array(100).fill(Buffer.from(`${'x'.repeat(999_999)}\n`)))
    const answers = answerLines(source, { ...options, bodyLimit: 1_048_576, intake: stuck })
    await answers.next()
    void answers.next()
    await until('it has read what it may', () => taken >= 2)
    for (let i = 0; i < 20; i += 1) await new Promise(setImmediate)
    expect(taken).toBeLessThan(6)
  })
})

describe('the bytes that a stream of lines holds', () => {
  const line = (characters: number) => `${'x'.repeat(characters - 1)}\n`
  const taking = { takeText: async () => ({ id: 'x', status: 201 as const }) }
  const rest = { intake: taking, bodyLimit: LIMIT, ending: new AbortController().signal }

  it('are told as they come, and as their results go out', async () => {
    const told: number[] = []
    const hold = (bytes: number) => told.push(bytes) > 0
    const source = Readable.from([line(100), 'y'.repeat(70), 'y'.repeat(30)].map((text) => Buffer.from(text)))
    for await (const _ of answerLines(source, { ...rest, onEarlyEnd: () => undefined, hold }));
    expect(Math.max(...told)).toBeLessThanOrEqual(200)
    expect(told).toContain(100)
    expect(told.at(-1)).toBe(100) // the last line, whose end was that of the stream
  })

  it('end it with a 503 for the next line where there is no room, and what is left is read', async () => {
    const pieces = [line(10), 'y'.repeat(500), 'y'.repeat(400), 'z'.repeat(10)]
    const source = Readable.from(pieces.map((text) => Buffer.from(text)))
    let early = 0
    const onEarlyEnd = () => {
      early += 1
    }
    const results: string[] = []
    const hold = (bytes: number) => bytes < 600
    for await (const text of answerLines(source, { ...rest, onEarlyEnd, hold })) results.push(text)
    const last = JSON.parse(results.at(-1) ?? '') as object
    expect(last).toMatchObject({
      line: 2,
      status: 503,
      detail: expect.stringMatching(/^the server has more/),
    })
    expect(early).toBe(1)
    await until('all of it is read', () => source.readableEnded)
  })
})

describe('createLineSplitter', () => {
  it('keeps nothing of a line that never ends', () => {
    const splitter = createLineSplitter(LIMIT)
    const piece = Buffer.alloc(1_048_576, 'x')
    const before = process.memoryUsage().arrayBuffers
    let told = 0
    for (let i = 0; i < 200; i += 1) told += [...splitter.split(piece)].length
    expect(told).toBe(1)
    expect([...splitter.rest()]).toEqual([])
    expect([...splitter.split(Buffer.from('\nnext\n'))]).toEqual([{ number: 2, text: 'next' }])
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10_000_000)
  })
})

describe('fits', () => {
  it.each([
    ['a string', 'x'.repeat(98), true],
    ['one too many', 'x'.repeat(99), false],
    ['umlauts', 'ä'.repeat(49), true],
    ['one umlaut too many', 'ä'.repeat(50), false],
    ['escapes', '\n'.repeat(49), true],
    ['one escape too many', '\n'.repeat(50), false],
    ['numbers', Array(33).fill(10), true],
    ['one number too many', Array(34).fill(10), false],
    ['an object', { ['x'.repeat(94)]: 1 }, true],
    ['a key too long', { ['x'.repeat(95)]: 1 }, false],
  ])('counts the JSON text of %s', (_what, value, expected) => {
    expect(Buffer.byteLength(JSON.stringify(value)) <= 100).toBe(expected)
    expect(fits(value, 100)).toBe(expected)
  })
})

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
