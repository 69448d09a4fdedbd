import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { toPlainBody } from '../errors/error-reply.ts'
import { Alive, Failure, Ready } from '../original/schemas.ts'

/** @returns resolves when this server should get work, rejects with every reason why not */
export type ReadyCheck = () => Promise<void>

/** For who starts and stops servers, and sends them work: does the process run, and is it ready for work? */
export const readyRoutes: FastifyPluginAsyncTypebox<{ checkReady: ReadyCheck }> = async (
  app,
  { checkReady },
) => {
  app.get('/ready', { schema: { response: { 200: Ready, 503: Failure } } }, async (_request, reply) => {
    try {
      await checkReady()
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      return reply.code(503).send(toPlainBody({ status: 503, detail: `server is not ready: ${reason}` }))
    }
    return { status: 'success' as const, message: 'server is ready' as const }
  })

  // Asks nobody: whoever restarts a server for its answer must not do so because Redis is away.
  app.get('/live', { schema: { response: { 200: Alive } } }, async () => ({
    status: 'success' as const,
    message: 'server is alive' as const,
  }))
}
