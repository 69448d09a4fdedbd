import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { answer, route } from '../openapi/route.ts'
import { sendError } from '../plugins/errors.ts'
import { Healthy } from './schemas.ts'

/** @returns resolves when Redis answered, rejects with the reason when it did not in time */
export type HealthCheck = () => Promise<void>

const UNHEALTHY = {
  status: 503,
  description: 'Redis did not answer within a second',
  detail: 'server is not running due to: Redis did not answer within 1000 ms',
}

const HEALTH = route({
  operationId: 'getHealth',
  tag: 'service',
  summary: 'Check health',
  description: 'Needs no key and is never rate-limited.',
  response: { 200: answer('the server is healthy, and Redis answers it', Healthy) },
  fails: [UNHEALTHY],
  commonFails: [],
})

export const healthRoutes: FastifyPluginAsyncTypebox<{ checkHealth: HealthCheck }> = async (
  app,
  { checkHealth },
) => {
  app.get('/health', { schema: HEALTH }, async (request, reply) => {
    try {
      await checkHealth()
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      return sendError(request, reply, { status: 503, detail: `server is not running due to: ${reason}` })
    }
    return { status: 'success' as const, message: 'server is ok!' as const }
  })
}
