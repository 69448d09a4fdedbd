import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { toIso } from '../../../runtime/iso-time.ts'
import { VERSION } from '../../../runtime/version.ts'
import { answer, route } from '../../openapi/route.ts'
import { SCOPES } from '../../plugins/api-keys.ts'
import type { ApiDeps } from '../deps.ts'
import { MeReply } from './schemas.ts'

const ME = route({
  operationId: 'getMe',
  tag: 'overview',
  summary: 'Get the API key and what the server offers',
  description:
    'The name and the scopes of the API key, and the namespace, version, clock and features of the server. Any key ' +
    'will do.',
  response: { 200: answer('the key and the server', MeReply) },
  commonFails: [401, 403, 429, 503],
})

/** What a client has to know of itself and of the server before it begins. */
export const meRoutes: FastifyPluginAsyncTypebox<Pick<ApiDeps, 'namespace' | 'features' | 'now'>> = async (
  app,
  { namespace, features, now },
) => {
  app.get('/me', { schema: ME }, async ({ apiKey, scopes = SCOPES }) => ({
    name: apiKey ?? null,
    scopes: [...scopes],
    namespace,
    version: VERSION,
    now: toIso(now()),
    features,
  }))
}
