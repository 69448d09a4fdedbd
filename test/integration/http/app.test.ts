import { once } from 'node:events'
import { connect as openSocket } from 'node:net'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { useApp } from '../../support/app.ts'
import { readRedisClock } from '../../support/redis-time.ts'

const world = useApp()

const post = (payload: unknown, headers: Record<string, string> = { 'content-type': 'application/json' }) =>
  world().app.inject({
    method: 'POST',
    url: '/echoAtTime',
    headers,
    payload: typeof payload === 'string' ? payload : JSON.stringify(payload),
  })
const stored = () => world().stored()
const later = () => Date.now() + 60_000

describe('POST /echoAtTime', () => {
  it('answers as it always did, once Redis has the message', async () => {
    const time = String(later())
    const answer = await post({ time, message: 'hello' })
    expect(answer.statusCode).toBe(200)
    const { id } = answer.json<{ id: string }>()
    expect(answer.json()).toEqual({ status: 'success', message: 'message scheduled', id })
    expect(id).toMatch(/^~\d\w+$/)
    const { messages, scheduled } = world().keysFor(id)
    expect(await world().client.hget(messages, id)).toBe(`${time}\n"hello"`)
    expect(await world().client.zscore(scheduled, id)).toBe(time)
  })

  it.each([
    ['milliseconds as a number', () => later()],
    ['milliseconds as digits', () => String(later())],
    ['seconds as a number', () => Math.ceil(later() / 1_000)],
    ['seconds as digits', () => String(Math.ceil(later() / 1_000))],
    ['ISO 8601 with Z', () => new Date(later()).toISOString()],
    ['ISO 8601 with an offset', () => new Date(later() + 7_200_000).toISOString().replace('Z', '+02:00')],
  ])('takes %s', async (_form, time) => {
    expect((await post({ time: time(), message: 'x' })).statusCode).toBe(200)
  })

  it('ignores unknown fields, as it always did', async () => {
    expect((await post({ time: later(), message: 'x', more: 1 })).statusCode).toBe(200)
    expect((await post(`{"time": ${later()}, "message": "x", "__proto__": {"a": 1}}`)).statusCode).toBe(200)
  })

  it.each([
    ['a time that has come', { time: Date.now() - 1, message: 'x' }, /^time: must be in the future$/],
    [
      'a time that is nothing of the kind',
      { time: 'soon', message: 'x' },
      /^time: must be epoch milliseconds/,
    ],
    [
      'a time without an offset',
      { time: '2999-01-01T00:00:00', message: 'x' },
      /^time: must be epoch milliseconds/,
    ],
    ['a time past year 9999', { time: 253_402_300_800_000, message: 'x' }, /^time: /],
    ['a time of null', { time: null, message: 'x' }, /^time: must be epoch milliseconds/],
    ['a time of true', { time: true, message: 'x' }, /^time: must be epoch milliseconds/],
    ['no time', { message: 'x' }, /^time: is missing; it must be epoch/],
    ['no message', { time: later() }, /^message: is missing; it must be a string$/],
    ['a message that is a number', { time: later(), message: 5 }, /^message: must be a string$/],
    ['an array', [], /^body: must be a JSON object with time and message$/],
    ['null', null, /^body: must be a JSON object with time and message$/],
    ['broken JSON', '{"time":', /^body: is not valid JSON$/],
    [
      'a time and message that only a prototype has',
      '{"__proto__": {"time": 1, "message": "x"}}',
      /^time: is missing/,
    ],
    ['an empty body', '', /^body: is empty/],
  ])('refuses %s with 400 and the field, and stores nothing', async (_what, body, message) => {
    const answer = await post(body)
    expect(answer.statusCode).toBe(400)
    expect(answer.json()).toEqual({ status: 'error', message: expect.stringMatching(message) })
    expect(await stored()).toBe(0)
  })

  it.each([['text/plain'], ['application/x-www-form-urlencoded'], ['application/xml']])(
    'refuses %s with 415',
    async (type) => {
      const answer = await post('time=5', { 'content-type': type })
      expect(answer.statusCode).toBe(415)
      expect(answer.json()).toEqual({ status: 'error', message: 'content-type: must be application/json' })
    },
  )

  it('refuses more than a mebibyte with 413', async () => {
    const answer = await post({ time: later(), message: 'x'.repeat(1_048_576) })
    expect(answer.statusCode).toBe(413)
    expect(answer.json()).toEqual({ status: 'error', message: 'body: is too large' })
    expect(await stored()).toBe(0)
  })

  it('puts all that came in one turn of the event loop into one call', async () => {
    await post({ time: later(), message: 'one before' })
    const sent = vi.spyOn(world().client, 'sendCommand')
    onTestFinished(() => sent.mockRestore())
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => post({ time: later(), message: `m${i}` })),
    )
    const calls = sent.mock.calls.filter(([{ name }]) => ['eval', 'evalsha'].includes(name))
    expect(answers.every((answer) => answer.statusCode === 200)).toBe(true)
    expect(new Set(answers.map((answer) => answer.json<{ id: string }>().id)).size).toBe(50)
    expect(calls.length).toBeGreaterThan(0)
    expect(calls.length).toBeLessThan(25)
    expect(await stored()).toBe(51)
  })
})

describe('GET /health', () => {
  it('says that all is well, in the words it always had', async () => {
    const answer = await world().app.inject('/health')
    expect(answer.statusCode).toBe(200)
    expect(answer.json()).toEqual({ status: 'success', message: 'server is ok!' })
  })
})

describe('GET /', () => {
  it('is a page that says what this is and how to use it', async () => {
    const answer = await world().app.inject({ url: '/', headers: { host: 'carillon.localhost:3000' } })
    expect(answer.statusCode).toBe(200)
    expect(answer.headers['content-type']).toBe('text/html; charset=utf-8')
    expect(answer.body).toContain('http://carillon.localhost:3000/echoAtTime')
  })

  it('takes nothing into the page that could be markup', async () => {
    const answer = await world().app.inject({ url: '/', headers: { host: '"><script>' } })
    expect(answer.body).not.toContain('<script>')
  })
})

describe('everything else', () => {
  it.each([
    ['GET', '/nothing'],
    ['GET', '/echoAtTime'],
    ['DELETE', '/health'],
  ] as const)('%s %s gets 404 in the same form', async (method, url) => {
    const answer = await world().app.inject({ method, url })
    expect(answer.statusCode).toBe(404)
    expect(answer.json()).toEqual({ status: 'error', message: `no route ${method} ${url}` })
  })

  it('gets its 404 whatever is wrong with its body', async () => {
    const answer = await world().app.inject({
      method: 'POST',
      url: '/nothing',
      payload: '{',
      headers: { 'content-type': 'text/plain' },
    })
    expect(answer.statusCode).toBe(404)
  })

  it('gets 400 in the same form if it is not a path', async () => {
    const answer = await world().app.inject('/%zz')
    expect(answer.statusCode).toBe(400)
    expect(answer.json()).toMatchObject({ status: 'error' })
  })

  it.each([
    [
      'an expectation that is not supported gets 417',
      'GET /health HTTP/1.1\r\nHost: x\r\nExpect: cake\r\n\r\n',
      /^HTTP\/1.1 417 [\s\S]*\{"status":"error"/,
    ],
    [
      'a request without Host is answered',
      'GET /health HTTP/1.1\r\nConnection: close\r\n\r\n',
      /^HTTP\/1.1 200 /,
    ],
  ])('%s', async (_what, text, expected) => {
    const url = new URL(await world().app.listen({ port: 0, host: '127.0.0.1' }))
    const socket = openSocket(Number(url.port), '127.0.0.1')
    let answer = ''
    socket.on('data', (data) => {
      answer += data
    })
    socket.write(text)
    await once(socket, 'close')
    expect(answer).toMatch(expected)
  })

  it('gets 400 in the same form if it is not HTTP', async () => {
    const url = new URL(await world().app.listen({ port: 0, host: '127.0.0.1' }))
    const socket = openSocket(Number(url.port), '127.0.0.1')
    let answer = ''
    socket.on('data', (data) => {
      answer += data
    })
    socket.write('NONSENSE\r\n\r\n')
    await once(socket, 'close')
    expect(answer).toMatch(/^HTTP\/1.1 400 /)
    expect(answer).toContain('{"status":"error","message":"the request is not valid HTTP"}')
  })
})

it('reads the clock of Redis, not its own', async () => {
  expect(Math.abs((await readRedisClock(world().client)) - Date.now())).toBeLessThan(5_000)
})
