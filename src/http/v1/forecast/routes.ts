import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { LAST_MS } from '../../../domain/message.ts'
import { toIso } from '../../../runtime/iso-time.ts'
import { BAD_QUERY } from '../../openapi/failures.ts'
import { answer, route } from '../../openapi/route.ts'
import { timeOf } from '../../validation/time.ts'
import { InvalidRequestError } from '../../validation/validation.ts'
import type { ApiDeps } from '../deps.ts'
import { ForecastQuery, ForecastReply } from './schemas.ts'

const DEFAULT_BUCKET_MS = 60_000
const DEFAULT_SPAN_MS = 3_600_000
const MOST_BUCKETS = 1_000

const FORECAST = route({
  operationId: 'getForecast',
  tag: 'overview',
  summary: 'Forecast due messages',
  description: 'Counts scheduled messages by due time, in at most 1,000 buckets.',
  querystring: ForecastQuery,
  response: { 200: answer('messages per bucket', ForecastReply) },
  fails: [BAD_QUERY],
})

/** The upcoming load. */
export const forecastRoutes: FastifyPluginAsyncTypebox<Pick<ApiDeps, 'forecast' | 'now'>> = async (
  app,
  { forecast, now },
) => {
  app.get('/forecast', { schema: FORECAST }, async (request) => {
    const { bucketMs = DEFAULT_BUCKET_MS } = request.query
    const from = timeOf('from', request.query.from) ?? now()
    const to = timeOf('to', request.query.to) ?? Math.min(from + DEFAULT_SPAN_MS, LAST_MS)
    if (to <= from) throw new InvalidRequestError([{ path: '/to', message: 'must be later than from' }])
    const buckets = Math.ceil((to - from) / bucketMs)
    if (buckets > MOST_BUCKETS) {
      const message = `must be larger: from and to are ${buckets} buckets apart, at most ${MOST_BUCKETS} are allowed`
      throw new InvalidRequestError([{ path: '/bucketMs', message }])
    }
    const counted = await forecast({ from, to, bucketMs })
    return { buckets: counted.map(({ at, count }) => ({ at: toIso(at), count })) }
  })
}
