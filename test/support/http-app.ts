import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import { type AppDeps, buildApp } from '../../src/http/app.ts'
import type { ApiDeps } from '../../src/http/v1/deps.ts'

/** The HTTP app alone, on the dependencies that a test gives: for what does not involve Redis. */
export const httpApp = (api: Partial<ApiDeps>, rest: Partial<AppDeps> = {}): Promise<FastifyInstance> =>
  buildApp({
    // A test reaches only the routes whose dependencies it gives.
    api: {
      bodyLimit: 1_048_576,
      batchBodyLimit: 16_777_216,
      now: Date.now,
      lockMs: 30_000,
      checkDestination: () => [],
      events: { hasRoom: true, stream: async () => undefined, close: () => undefined },
      actLog: { record: () => undefined, list: async () => [], close: async () => undefined },
      ...api,
    } as ApiDeps,
    keys: [],
    checkHealth: async () => undefined,
    checkReady: async () => undefined,
    exposeMetrics: async () => ({ contentType: 'text/plain', text: '' }),
    logger: pino({ level: 'silent' }),
    ...rest,
  })
