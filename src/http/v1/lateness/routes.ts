import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { toIso } from '../../../runtime/iso-time.ts'
import { BAD_QUERY } from '../../openapi/failures.ts'
import { answer, route } from '../../openapi/route.ts'
import { timeOf } from '../../validation/time.ts'
import { InvalidRequestError } from '../../validation/validation.ts'
import type { ApiDeps } from '../deps.ts'
import { LatenessQuery, LatenessReply } from './schemas.ts'

const HOUR_MS = 3_600_000

const LATENESS = route({
  operationId: 'getLateness',
  tag: 'overview',
  summary: 'Get how late deliveries began',
  description:
    'Over all destinations and servers, by minute, for the last hour. A retry counts from its own due time. ' +
    'Percentiles are right to within 5 %. What other servers have delivered may be missing for 10 s.',
  querystring: LatenessQuery,
  response: { 200: answer('lateness in all and by minute', LatenessReply) },
  fails: [BAD_QUERY],
})

/** How late deliveries began. */
export const latenessRoutes: FastifyPluginAsyncTypebox<Pick<ApiDeps, 'lateness' | 'now'>> = async (
  app,
  { lateness, now },
) => {
  app.get('/lateness', { schema: LATENESS }, async (request) => {
    const to = timeOf('to', request.query.to) ?? now() + 1
    const from = timeOf('from', request.query.from) ?? to - HOUR_MS
    if (to <= from) throw new InvalidRequestError([{ path: '/to', message: 'must be later than from' }])
    const { minutes, ...all } = await lateness({ from, to })
    return { ...all, minutes: minutes.map((minute) => ({ ...minute, at: toIso(minute.at) })) }
  })
}
