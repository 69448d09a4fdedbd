import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { BAD_QUERY } from '../../openapi/failures.ts'
import { answer, route } from '../../openapi/route.ts'
import type { ApiDeps } from '../deps.ts'
import { toFilter } from '../messages/filter.schemas.ts'
import { CountQuery, CountReply } from './schemas.ts'

const COUNT = route({
  operationId: 'countMessages',
  tag: 'overview',
  summary: 'Count messages',
  description:
    'Counts the messages that the same filters list. It is exact for a status, or one tag or one destination of ' +
    'scheduled messages, with or without from, to and late. With other filters messages have to be looked at: ' +
    'then it is exact up to 10,000, and beyond that, or after a million were looked at, `"atLeast": true`.',
  querystring: CountQuery,
  response: { 200: answer('how many messages match', CountReply) },
  fails: [BAD_QUERY],
})

/** Counts messages by the filters of a list. */
export const countRoutes: FastifyPluginAsyncTypebox<Pick<ApiDeps, 'count'>> = async (app, { count }) => {
  app.get('/count', { schema: COUNT }, async (request) => {
    const { isAtLeast, ...counted } = await count(toFilter(request.query))
    return isAtLeast ? { ...counted, atLeast: true as const } : counted
  })
}
