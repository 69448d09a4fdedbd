import { once } from 'node:events'
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { getHeapStatistics } from 'node:v8'
import Fastify, { type FastifyInstance, type InjectOptions } from 'fastify'
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { makeApiKey, parseApiKeys } from '../../../src/http/plugins/api-keys.ts'
import { auth } from '../../../src/http/plugins/auth.ts'
import { errors } from '../../../src/http/plugins/errors.ts'
import { type LimitsOptions, limits, PRESSURE_LIMITS } from '../../../src/http/plugins/limits.ts'
import { until } from '../../support/until.ts'

const CALM = {
  requests: Number.POSITIVE_INFINITY,
  bodyBytes: Number.POSITIVE_INFINITY,
  heapBytes: Number.MAX_SAFE_INTEGER,
  everyMs: 0,
}
const ci = makeApiKey('ci', 'read+write')
const ops = makeApiKey('127.0.0.1', 'read+write')

let app: FastifyInstance
let served: number
/** requests to /held that are in hand, each as what lets it be answered */
let held: (() => void)[]

async function build({ perMinute = 0, pressure = CALM }: Partial<LimitsOptions>, entries: string[] = []) {
  served = 0
  held = []
  app = Fastify()
  await app.register(errors)
  await app.register(auth, { keys: parseApiKeys(entries.join(',')) })
  await app.register(limits, { perMinute, pressure })
  app.get('/held', async ({ query, inFlight }) => {
    if ((query as { waits?: string }).waits !== undefined) inFlight?.remove()
    await new Promise<void>((resolve) => held.push(resolve))
    return { served: ++served }
  })
  app.get('/health', async () => ({ status: 'success' }))
  for (const url of ['/', '/echoAtTime', '/v1/messages', '/v1/messages/batch']) {
    app.route({ method: ['GET', 'POST'], url, handler: async () => ({ served: ++served }) })
  }
}
const ask = async (url: string, options: InjectOptions = {}) => app.inject({ url, ...options })
const statusesOf = async (urls: readonly string[], options: InjectOptions = {}) => {
  const statuses: number[] = []
  for (const url of urls) statuses.push((await ask(url, options)).statusCode)
  return statuses
}
const withKey = ({ key }: { key: string }) => ({ headers: { authorization: `Bearer ${key}` } })

afterEach(async () => {
  vi.useRealTimers()
  await app.close()
})

describe('RATE_LIMIT_PER_MINUTE', () => {
  it('is off unless set', async () => {
    await build({})
    expect(new Set(await statusesOf(Array(50).fill('/v1/messages')))).toEqual(new Set([200]))
    expect((await ask('/v1/messages')).headers).not.toHaveProperty('x-ratelimit-limit')
  })

  it('lets so many requests through, whatever their path, and not one more', async () => {
    await build({ perMinute: 4 })
    const paths = [
      '/v1/messages',
      '/echoAtTime',
      '/',
      '/nothing',
      '/v1/messages',
      '/echoAtTime',
      '/',
      '/nothing',
    ]
    expect(await statusesOf(paths)).toEqual([200, 200, 200, 404, 429, 429, 429, 429])
    expect(served).toBe(3)
  })

  it('counts a batch as one request', async () => {
    await build({ perMinute: 2 })
    const payload = { messages: Array(1_000).fill({ payload: 1 }) }
    expect(await statusesOf(Array(3).fill('/v1/messages/batch'), { method: 'POST', payload })).toEqual([
      200, 200, 429,
    ])
  })

  it('goes by key, wherever it is used', async () => {
    await build({ perMinute: 1 }, [ci.entry, ops.entry])
    expect((await ask('/echoAtTime', { ...withKey(ci), remoteAddress: '192.0.2.1' })).statusCode).toBe(200)
    expect((await ask('/echoAtTime', { ...withKey(ci), remoteAddress: '192.0.2.2' })).statusCode).toBe(429)
    expect((await ask('/echoAtTime', { ...withKey(ops), remoteAddress: '192.0.2.1' })).statusCode).toBe(200)
  })

  it('goes by address where there is no key, and takes no key for an address', async () => {
    await build({ perMinute: 1 }, [ops.entry])
    expect((await ask('/echoAtTime', withKey(ops))).statusCode).toBe(200)
    expect((await ask('/', { remoteAddress: '127.0.0.1' })).statusCode).toBe(200)
    expect((await ask('/', { remoteAddress: '127.0.0.1' })).statusCode).toBe(429)
    expect((await ask('/', { remoteAddress: '127.0.0.2' })).statusCode).toBe(200)
  })

  it('takes a network of one IPv6 host for one address', async () => {
    await build({ perMinute: 1 })
    expect((await ask('/', { remoteAddress: '2001:db8::1' })).statusCode).toBe(200)
    expect((await ask('/', { remoteAddress: '2001:db8::2' })).statusCode).toBe(429)
    expect((await ask('/', { remoteAddress: '2001:db8:0:1::1' })).statusCode).toBe(200)
  })

  it('does not count what the door turns away', async () => {
    await build({ perMinute: 1 }, [ci.entry])
    expect(await statusesOf(Array(3).fill('/echoAtTime'))).toEqual([401, 401, 401])
    expect((await ask('/')).statusCode).toBe(200)
  })

  it('never holds for /health', async () => {
    await build({ perMinute: 1 })
    expect(new Set(await statusesOf(Array(20).fill('/health')))).toEqual(new Set([200]))
    expect((await ask('/health', { method: 'HEAD' })).statusCode).toBe(200)
    expect((await ask('/')).statusCode).toBe(200)
  })

  it('answers a problem under /v1 and the old form elsewhere, with when to come back', async () => {
    await build({ perMinute: 1 })
    await ask('/')
    const problem = await ask('/v1/messages')
    expect(problem.statusCode).toBe(429)
    expect(problem.headers['content-type']).toBe('application/problem+json; charset=utf-8')
    expect(problem.headers['retry-after']).toBe('60')
    const detail = 'at most 1 requests per minute; retry in 1 minute'
    expect(problem.json()).toMatchObject({
      title: 'Too Many Requests',
      status: 429,
      code: 'rate_limited',
      detail,
    })
    const plain = await ask('/echoAtTime')
    expect(plain.statusCode).toBe(429)
    expect(plain.headers['retry-after']).toBe('60')
    expect(plain.json()).toEqual({ status: 'error', message: detail })
    expect((await ask('/v1/nothing')).headers['content-type']).toMatch(/^application\/problem\+json/)
  })

  it('lets a client through again once its minute is over, and not before', async () => {
    await build({ perMinute: 1 })
    vi.useFakeTimers({ toFake: ['Date'] })
    expect(await statusesOf(['/', '/'])).toEqual([200, 429])
    vi.advanceTimersByTime(59_999)
    expect((await ask('/')).statusCode).toBe(429)
    vi.advanceTimersByTime(1)
    expect((await ask('/')).statusCode).toBe(200)
  })
})

describe('a server under pressure', () => {
  const full = { ...CALM, heapBytes: 1 }

  /** Asks for a path under /held, and waits until that is in hand. @returns lets it be answered */
  async function hold(url = '/held', options: InjectOptions = {}): Promise<() => Promise<number>> {
    const answer = app.inject({ url, ...options })
    const place = held.length
    answer.catch(() => undefined) // or nothing is sent before it is awaited
    await until('the request is in hand', () => held.length > place)
    return async () => {
      held[place]?.()
      return (await answer).statusCode
    }
  }

  it('turns requests away in their own form, with when to come back', async () => {
    await build({ pressure: full })
    const answer = await hold()
    const problem = await ask('/v1/messages', { method: 'POST', payload: { payload: 1 } })
    expect(problem.statusCode).toBe(503)
    expect(problem.headers['content-type']).toBe('application/problem+json; charset=utf-8')
    expect(problem.headers['retry-after']).toBe('1')
    const detail = 'server overloaded; retry later'
    expect(problem.json()).toMatchObject({
      title: 'Service Unavailable',
      status: 503,
      code: 'overloaded',
      detail,
    })
    const plain = await ask('/echoAtTime')
    expect(plain.statusCode).toBe(503)
    expect(plain.headers['retry-after']).toBe('1')
    expect(plain.json()).toEqual({ status: 'error', message: detail })
    expect((await ask('/nothing')).statusCode).toBe(503)
    expect(served).toBe(0)
    expect(await answer()).toBe(200)
  })

  it('still says how it is', async () => {
    await build({ pressure: full })
    const answer = await hold()
    expect((await ask('/')).statusCode).toBe(503)
    expect((await ask('/health')).json()).toEqual({ status: 'success' })
    expect((await ask('/health', { method: 'HEAD' })).statusCode).toBe(200)
    await answer()
  })

  it('still asks for a key, and counts nothing it turned away', async () => {
    await build({ perMinute: 2, pressure: full }, [ci.entry])
    const answer = await hold('/held', withKey(ci))
    expect((await ask('/echoAtTime')).statusCode).toBe(401)
    expect(await statusesOf(Array(3).fill('/echoAtTime'), withKey(ci))).toEqual([503, 503, 503])
    await answer()
    expect(await statusesOf(Array(2).fill('/echoAtTime'), withKey(ci))).toEqual([200, 429])
  })

  it('serves whoever comes alone, however full its heap is', async () => {
    await build({ pressure: full })
    expect(new Set(await statusesOf(Array(20).fill('/v1/messages')))).toEqual(new Set([200]))
  })

  it('takes so many requests at a time, and one more for each that was answered', async () => {
    await build({ pressure: { ...CALM, requests: 2 } })
    const answers = [await hold(), await hold()]
    expect(await statusesOf(['/', '/health'])).toEqual([503, 200])
    expect(await answers[1]?.()).toBe(200)
    expect((await ask('/')).statusCode).toBe(200)
    expect(await answers[0]?.()).toBe(200)
  })

  it('does not count who only waits', async () => {
    await build({ pressure: { ...CALM, requests: 1 } })
    const answers = [await hold('/held?waits'), await hold('/held?waits')]
    expect((await ask('/')).statusCode).toBe(200)
    for (const answer of answers) expect(await answer()).toBe(200)
    const last = await hold()
    expect((await ask('/')).statusCode).toBe(503)
    expect(await last()).toBe(200)
  })

  it('counts out what clients left, pipelined requests too', async () => {
    await build({ pressure: { ...CALM, requests: 3 } })
    const { port } = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
    const socket = connect(Number(port), '127.0.0.1')
    socket.write('GET /held HTTP/1.1\r\nhost: a\r\n\r\n'.repeat(3))
    await until('all are in hand', () => held.length === 3)
    expect((await ask('/')).statusCode).toBe(503)
    socket.destroy()
    await until('they are counted out', async () => (await ask('/')).statusCode === 200)
    for (const answer of held) answer() // nobody is there any more, and nothing is counted out twice
    await until('they have ended', () => served === 4)
    const answers = [await hold(), await hold(), await hold()]
    expect((await ask('/')).statusCode).toBe(503)
    for (const answer of answers) await answer()
  })

  it('serves the requests of an event loop that is late, as those of a busy machine', async () => {
    await build({ pressure: PRESSURE_LIMITS })
    const { hostname, port } = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
    for (let i = 0; i < 2; i++) {
      const asked = httpRequest({ hostname, port, path: '/v1/messages' }).end()
      const freeAt = performance.now() + 600
      while (performance.now() < freeAt); // holds up the loop, as a throttled container is
      const [answer] = (await once(asked, 'response')) as [IncomingMessage]
      answer.resume()
      expect(answer.statusCode).toBe(200)
    }
  })

  it('serves the same connection once it can, after a body that it left unread', async () => {
    await build({ pressure: { ...CALM, requests: 1 } })
    const { hostname, port } = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    onTestFinished(() => agent.destroy())
    const localPorts = new Set<number | undefined>()
    const post = async () => {
      const request = httpRequest({ hostname, port, path: '/v1/messages', method: 'POST', agent })
      request.setHeader('content-type', 'application/json')
      request.end(JSON.stringify('x'.repeat(500_000))) // turned away, it stays unread
      const [answer] = (await once(request, 'response')) as [IncomingMessage]
      localPorts.add(request.socket?.localPort)
      answer.resume()
      await once(answer, 'end')
      return answer.statusCode
    }
    expect(await post()).toBe(200)
    const answer = await hold()
    expect(await post()).toBe(503)
    await answer()
    expect(await post()).toBe(200)
    expect(localPorts.size).toBe(1)
  })
})

it('judges memory by what V8 may use on this machine', () => {
  const { heap_size_limit } = getHeapStatistics()
  expect(PRESSURE_LIMITS.heapBytes).toBeGreaterThan(heap_size_limit * 0.4)
  expect(PRESSURE_LIMITS.heapBytes).toBeLessThan(heap_size_limit * 0.6)
  expect(PRESSURE_LIMITS.requests).toBeGreaterThan(256)
})
