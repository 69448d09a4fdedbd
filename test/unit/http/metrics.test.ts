import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import { afterEach, describe, expect, it } from 'vitest'
import { type AppDeps, buildApp } from '../../../src/http/app.ts'
import { makeApiKey, parseApiKeys } from '../../../src/http/plugins/api-keys.ts'
import { createMetrics } from '../../../src/observability/prometheus.ts'
import { readSamples } from '../../support/prometheus.ts'

const reader = makeApiKey('reader', 'read')
const writer = makeApiKey('writer', 'write')
const withKey = ({ key }: { key: string }) => ({ headers: { authorization: `Bearer ${key}` } })

let app: FastifyInstance
const build = async (options: Partial<AppDeps> = {}) => {
  const { metrics, expose } = createMetrics({
    totals: async () => ({
      scheduled: 5,
      claimed: 0,
      dead: 0,
      stranded: 0,
      paused: 0,
      oldestOverdueMs: 0,
      oldestLateMs: 0,
    }),
  })
  app = await buildApp({
    keys: [],
    checkHealth: async () => undefined,
    checkReady: async () => undefined,
    exposeMetrics: expose,
    logger: pino({ level: 'silent' }),
    ...options,
  })
  return metrics
}
afterEach(() => app.close())

describe('GET /metrics', () => {
  it('answers what was measured, in the form that Prometheus reads, also on a server without the API', async () => {
    const metrics = await build()
    metrics.delivered('console', 3)
    const answer = await app.inject('/metrics')
    expect(answer.statusCode).toBe(200)
    expect(answer.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
    const samples = readSamples(answer.body)
    expect(samples.get('carillon_delivered_total{destination="console"}')).toBe(3)
    expect(samples.get('carillon_messages{state="scheduled"}')).toBe(5)
  })

  it('needs a key that may read, where there are keys', async () => {
    await build({ keys: parseApiKeys(`${reader.entry},${writer.entry}`) })
    expect((await app.inject('/metrics')).statusCode).toBe(401)
    expect((await app.inject({ url: '/metrics', ...withKey(writer) })).statusCode).toBe(403)
    const answer = await app.inject({ url: '/metrics', ...withKey(reader) })
    expect(answer.statusCode).toBe(200)
    expect(answer.body).toContain('carillon_lateness_seconds')
  })
})
