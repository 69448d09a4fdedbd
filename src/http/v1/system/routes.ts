import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { answer, route } from '../../openapi/route.ts'
import type { ApiDeps } from '../deps.ts'
import { SystemReply } from './schemas.ts'

const SYSTEM = route({
  operationId: 'getSystem',
  tag: 'overview',
  summary: 'Get servers, Redis, settings and keys',
  description:
    'The servers at their last heartbeat, the Redis in use, and the settings and API keys of the server that ' +
    'answers. Secrets are left out.',
  response: { 200: answer('the system', SystemReply) },
})

/** What the service consists of, for those who operate it. */
export const systemRoutes: FastifyPluginAsyncTypebox<Pick<ApiDeps, 'system'>> = async (app, { system }) => {
  app.get('/system', { schema: SYSTEM }, async () => system())
}
