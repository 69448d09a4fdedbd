import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { toPlainBody } from '../errors/error-reply.ts'
import { Failure, Healthy } from './schemas.ts'

/** @returns resolves when Redis answered, rejects with the reason when it did not in time */
export type HealthCheck = () => Promise<void>

export const healthRoutes: FastifyPluginAsyncTypebox<{ checkHealth: HealthCheck }> = async (
  app,
  { checkHealth },
) => {
  app.get('/health', { schema: { response: { 200: Healthy, 503: Failure } } }, async (_request, reply) => {
    try {
      await checkHealth()
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      return reply
        .code(503)
        .send(toPlainBody({ status: 503, detail: `server is not running due to: ${reason}` }))
    }
    return { status: 'success' as const, message: 'server is ok!' as const }
  })
}
