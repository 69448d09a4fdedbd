import type { FastifyPluginAsync } from 'fastify'
import { type BatchRoutesOptions, batchRoutes } from './batch/routes.ts'
import { type BulkRoutesOptions, bulkRoutes } from './bulk/routes.ts'
import { type DeadRoutesOptions, deadRoutes } from './dead-letters/routes.ts'
import { type ForecastRoutesOptions, forecastRoutes } from './forecast/routes.ts'
import { type ListRoutesOptions, listRoutes } from './messages/list.ts'
import { type MessageRoutesOptions, messageRoutes } from './messages/routes.ts'
import { type QueueRoutesOptions, queueRoutes } from './queues/routes.ts'
import { type StatsRoutesOptions, statsRoutes } from './stats/routes.ts'

export type ApiDeps = MessageRoutesOptions &
  BatchRoutesOptions &
  ListRoutesOptions &
  BulkRoutesOptions &
  ForecastRoutesOptions &
  QueueRoutesOptions &
  DeadRoutesOptions &
  StatsRoutesOptions

/** The message API, version 1. */
export const api: FastifyPluginAsync<{ deps: ApiDeps }> = async (app, { deps }) => {
  await app.register(messageRoutes, deps)
  await app.register(batchRoutes, deps)
  await app.register(listRoutes, deps)
  await app.register(bulkRoutes, deps)
  await app.register(forecastRoutes, deps)
  await app.register(queueRoutes, deps)
  await app.register(deadRoutes, deps)
  await app.register(statsRoutes, deps)
}
