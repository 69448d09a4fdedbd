import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { toIso } from '../../../runtime/iso-time.ts'
import { answer, route } from '../../openapi/route.ts'
import type { ApiDeps } from '../deps.ts'
import { StatsReply } from './schemas.ts'

type Deps = Pick<ApiDeps, 'totals' | 'servers' | 'streams' | 'shards' | 'redisFacts'>

const STATS = route({
  operationId: 'getStats',
  tag: 'overview',
  summary: 'Get statistics',
  description: 'Counts messages by status, and lists live servers, streams, and the memory of Redis.',
  response: { 200: answer('the statistics', StatsReply) },
})

/** Counts, live servers, streams, and the memory of Redis. */
export const statsRoutes: FastifyPluginAsyncTypebox<Deps> = async (app, options) => {
  app.get('/stats', { schema: STATS }, async () => {
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
  })
}
