import type { FastifyPluginAsync } from 'fastify'
import { auditRoutes } from './audit/routes.ts'
import { batchRoutes } from './batch/routes.ts'
import { bulkRoutes } from './bulk/routes.ts'
import { countRoutes } from './count/routes.ts'
import { deadRoutes } from './dead-letters/routes.ts'
import type { ApiDeps } from './deps.ts'
import { destinationRoutes } from './destinations/routes.ts'
import { eventRoutes } from './events/routes.ts'
import { forecastRoutes } from './forecast/routes.ts'
import { latenessRoutes } from './lateness/routes.ts'
import { loadRoutes } from './load/routes.ts'
import { meRoutes } from './me/routes.ts'
import { messageActRoutes } from './messages/acts.ts'
import { listRoutes } from './messages/list.ts'
import { messageRoutes } from './messages/routes.ts'
import { operationRoutes } from './operations/routes.ts'
import { pauseRoutes } from './pauses/routes.ts'
import { queueRoutes } from './queues/routes.ts'
import { reasonRoutes } from './reasons/routes.ts'
import { statsRoutes } from './stats/routes.ts'
import { systemRoutes } from './system/routes.ts'

/** Every resource, in the order in which the document has them. */
const RESOURCES: readonly FastifyPluginAsync<ApiDeps>[] = [
  messageRoutes,
  messageActRoutes,
  reasonRoutes,
  batchRoutes,
  listRoutes,
  bulkRoutes,
  countRoutes,
  forecastRoutes,
  queueRoutes,
  deadRoutes,
  pauseRoutes,
  operationRoutes,
  auditRoutes,
  statsRoutes,
  destinationRoutes,
  loadRoutes,
  latenessRoutes,
  systemRoutes,
  meRoutes,
  eventRoutes,
]

/** The message API, version 1. */
export const api: FastifyPluginAsync<{ deps: ApiDeps }> = async (app, { deps }) => {
  for (const routes of RESOURCES) await app.register(routes, deps)
}
