import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { ServerInfo } from '../../../membership/membership.ts'
import type { Totals } from '../../../observability/metrics.ts'
import { toIso } from '../messages/translate.ts'
import { Problem } from '../problem.schemas.ts'
import { StatsReply } from './schemas.ts'

export interface StatsRoutesOptions {
  readonly totals: () => Promise<Totals>
  readonly servers: () => Promise<ServerInfo[]>
  /** the streams that messages went to, and their keys, one a shard */
  readonly streams: () => Promise<{ name: string; keys: string[] }[]>
  /** how many shards may hold messages */
  readonly shards: () => number
  readonly redisFacts: () => Promise<{
    version: string | null
    usedMemoryBytes: number | null
    maxMemoryBytes: number | null
  }>
}

/** What there is, who serves it, and how full Redis is. */
export const statsRoutes: FastifyPluginAsyncTypebox<StatsRoutesOptions> = async (app, options) => {
  app.get(
    '/stats',
    {
      schema: {
        summary: 'Count messages, servers and memory',
        tags: ['overview'],
        response: { 200: StatsReply, '4xx': Problem, '5xx': Problem },
      },
    },
    async () => {
      const [totals, servers, streams, redis] = await Promise.all([
        options.totals(),
        options.servers(),
        options.streams(),
        options.redisFacts(),
      ])
      const { oldestOverdueMs, oldestLateMs: _, stranded, ...counts } = totals
      return {
        counts: stranded > 0 ? { ...counts, stranded } : counts,
        oldestOverdueMs,
        servers: servers.map(({ id, startedAt, roles, version }) => ({
          id,
          startedAt: toIso(startedAt),
          roles: [...roles],
          version,
        })),
        shards: options.shards(),
        streams,
        redis,
      }
    },
  )
}
