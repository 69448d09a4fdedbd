import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { answer, route } from '../openapi/route.ts'
import { Alive, Ready } from '../original/schemas.ts'
import { sendError } from '../plugins/errors.ts'

/** @returns resolves when this server should get work, rejects with every reason why not */
export type ReadyCheck = () => Promise<void>

const NOT_READY = {
  status: 503,
  description: 'the server should get no work at present',
  detail: 'server is not ready: the oldest overdue message is 61000 ms late, more than 60000 ms',
}

const READY = route({
  operationId: 'getReady',
  tag: 'service',
  summary: 'Check readiness',
  description:
    '503 if Redis does not answer within a second, if it uses more than 90 % of its maxmemory (if it has one), or ' +
    'if the oldest overdue message is later than READY_MAX_LATE_MS; the answer names every reason. Messages that ' +
    'wait for a worker to pull them, or for a free slot of their host, or that are paused, do not count. Needs no ' +
    'key and is never rate-limited.',
  response: { 200: answer('the server is ready for work', Ready) },
  fails: [NOT_READY],
  commonFails: [],
})

const LIVE = route({
  operationId: 'getLive',
  tag: 'service',
  summary: 'Check liveness',
  description: 'The process runs. Says nothing about Redis. Needs no key and is never rate-limited.',
  response: { 200: answer('the process runs', Alive) },
  commonFails: [],
})

/** For who starts and stops servers, and sends them work: does the process run, and is it ready for work? */
export const readyRoutes: FastifyPluginAsyncTypebox<{ checkReady: ReadyCheck }> = async (
  app,
  { checkReady },
) => {
  app.get('/ready', { schema: READY }, async (request, reply) => {
    try {
      await checkReady()
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      return sendError(request, reply, { status: 503, detail: `server is not ready: ${reason}` })
    }
    return { status: 'success' as const, message: 'server is ready' as const }
  })

  // Checks nothing: a liveness probe must not restart a server because Redis is away.
  app.get('/live', { schema: LIVE }, async () => ({
    status: 'success' as const,
    message: 'server is alive' as const,
  }))
}
