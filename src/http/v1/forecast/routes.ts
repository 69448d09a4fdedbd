import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { LAST_MS } from '../../../domain/message.ts'
import type { Bucket } from '../../../messages/overview.ts'
import { timeOf } from '../../validation/time.ts'
import { InvalidRequestError } from '../../validation/validation.ts'
import { toIso } from '../messages/translate.ts'
import { Problem } from '../problem.schemas.ts'
import { ForecastQuery, ForecastReply } from './schemas.ts'

export interface ForecastRoutesOptions {
  readonly forecast: (args: { from: number; to: number; bucketMs: number }) => Promise<Bucket[]>
  /** Redis's clock as last heard of, epoch ms */
  readonly now: () => number
}

const DEFAULT_BUCKET_MS = 60_000
const DEFAULT_SPAN_MS = 3_600_000
const MOST_BUCKETS = 1_000
const problems = { '4xx': Problem, '5xx': Problem }

/** The load ahead. */
export const forecastRoutes: FastifyPluginAsyncTypebox<ForecastRoutesOptions> = async (app, options) => {
  const { forecast, now } = options

  app.get(
    '/forecast',
    {
      schema: {
        summary: 'See how many messages fall due when',
        tags: ['overview'],
        querystring: ForecastQuery,
        response: { 200: ForecastReply, ...problems },
      },
    },
    async (request) => {
      const { bucketMs = DEFAULT_BUCKET_MS } = request.query
      const from = timeOf('from', request.query.from) ?? now()
      const to = timeOf('to', request.query.to) ?? Math.min(from + DEFAULT_SPAN_MS, LAST_MS)
      if (to <= from) throw new InvalidRequestError([{ path: '/to', message: 'must be later than from' }])
      const buckets = Math.ceil((to - from) / bucketMs)
      if (buckets > MOST_BUCKETS) {
        const message = `must be larger: from and to are ${buckets} buckets apart, and ${MOST_BUCKETS} is the most`
        throw new InvalidRequestError([{ path: '/bucketMs', message }])
      }
      const counted = await forecast({ from, to, bucketMs })
      return { buckets: counted.map(({ at, count }) => ({ at: toIso(at), count })) }
    },
  )
}
