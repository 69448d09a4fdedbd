import Fastify, { type FastifyInstance } from 'fastify'
import { pino } from 'pino'
import { afterEach, describe, expect, it } from 'vitest'
import { buildApp } from '../../../src/http/app.ts'
import { metricsRoutes } from '../../../src/http/monitoring/metrics.ts'
import { readyRoutes } from '../../../src/http/monitoring/ready.ts'
import { makeApiKey, parseApiKeys } from '../../../src/http/plugins/api-keys.ts'
import { auth } from '../../../src/http/plugins/auth.ts'
import { errors } from '../../../src/http/plugins/errors.ts'
import { limits } from '../../../src/http/plugins/limits.ts'

const { entry } = makeApiKey('reader', 'read')
const KEYS = parseApiKeys(entry)
const ready = async () => undefined
const away = () => Promise.reject(new Error('Redis is away; and full'))
const exposeMetrics = async () => ({ contentType: 'text/plain', text: 'carillon_dead_total 0\n' })
/** What says whether a server is well. */
const WELL = ['/ready', '/live', '/metrics']

let app: FastifyInstance
const build = async ({ checkReady = ready, keys = KEYS, perMinute = 0 }) => {
  const logger = pino({ level: 'silent' })
  app = await buildApp({ keys, checkHealth: ready, checkReady, exposeMetrics, perMinute, logger })
}
afterEach(() => app.close())

describe('GET /ready', () => {
  it('says yes to everybody, also on a server without the API', async () => {
    await build({})
    const answer = await app.inject('/ready')
    expect(answer.statusCode).toBe(200)
    expect(answer.json()).toEqual({ status: 'success', message: 'server is ready' })
    expect((await app.inject({ url: '/ready', method: 'HEAD' })).statusCode).toBe(200)
  })

  it('says no with every reason', async () => {
    await build({ checkReady: away })
    const answer = await app.inject('/ready')
    expect(answer.statusCode).toBe(503)
    expect(answer.json()).toEqual({
      status: 'error',
      message: 'server is not ready: Redis is away; and full',
    })
    expect((await app.inject({ url: '/ready', method: 'HEAD' })).statusCode).toBe(503)
  })
})

describe('GET /live', () => {
  it('says to everybody that the process runs, whatever Redis does', async () => {
    let looks = 0
    const checkReady = () => {
      looks += 1
      return away()
    }
    await build({ checkReady })
    const answer = await app.inject('/live')
    expect(answer.statusCode).toBe(200)
    expect(answer.json()).toEqual({ status: 'success', message: 'server is alive' })
    expect(looks).toBe(0)
  })
})

describe('what says whether a server is well', () => {
  it('is opened by no other method', async () => {
    await build({})
    for (const url of WELL) expect((await app.inject({ url, method: 'POST' })).statusCode, url).toBe(401)
  })

  it('is answered however often it is asked', async () => {
    await build({ keys: [], perMinute: 1 })
    expect((await app.inject('/')).statusCode).toBe(200)
    expect((await app.inject('/')).statusCode).toBe(429)
    for (const url of [...WELL, ...WELL]) expect((await app.inject(url)).statusCode, url).toBe(200)
  })

  it('is answered while the server has more to do than it can', async () => {
    app = Fastify()
    await app.register(errors)
    await app.register(auth, { keys: [] })
    const pressure = { requests: 0, bodyBytes: 0, heapBytes: Number.MAX_SAFE_INTEGER, everyMs: 0 }
    await app.register(limits, { perMinute: 0, pressure })
    app.get('/', async () => 'served')
    await app.register(readyRoutes, { checkReady: ready })
    await app.register(metricsRoutes, { exposeMetrics })
    expect((await app.inject('/')).statusCode).toBe(503)
    for (const url of WELL) expect((await app.inject(url)).statusCode, url).toBe(200)
  })
})
