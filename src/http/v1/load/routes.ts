import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { toIso } from '../../../runtime/iso-time.ts'
import { answer, route } from '../../openapi/route.ts'
import type { ApiDeps } from '../deps.ts'
import { LoadReply } from './schemas.ts'

const LOAD = route({
  operationId: 'getLoad',
  tag: 'overview',
  summary: 'Get what is due, what is coming, and the capacity',
  description:
    'For autoscalers: unlike the length of a queue, the messages that fall due in the next minutes tell of a peak ' +
    'before it comes.',
  response: { 200: answer('the load', LoadReply) },
})

/** The load now and in the next minutes. */
export const loadRoutes: FastifyPluginAsyncTypebox<Pick<ApiDeps, 'load'>> = async (app, { load }) => {
  app.get('/load', { schema: LOAD }, async () => {
    const { peakAt, ...rest } = await load()
    return { ...rest, peakAt: peakAt === null ? null : toIso(peakAt) }
  })
}
