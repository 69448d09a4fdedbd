import type { FastifyPluginAsync } from 'fastify'
import { route, text } from '../openapi/route.ts'

export interface MetricsRoutesOptions {
  /** what is measured, in Prometheus's text form */
  readonly exposeMetrics: () => Promise<{ readonly contentType: string; readonly text: string }>
}

const EXAMPLE = `# HELP carillon_delivered_total Messages delivered
# TYPE carillon_delivered_total counter
carillon_delivered_total{destination="console"} 4711
carillon_delivered_total{destination="webhook"} 42
`

const METRICS = route({
  operationId: 'getMetrics',
  tag: 'service',
  summary: 'Get Prometheus metrics',
  description:
    'Delivery lateness, deliveries, failures, retries, dead letters, recoveries, time to schedule, backlog, and ' +
    'process metrics. `carillon_messages` and `carillon_oldest_overdue_seconds` come from Redis and are omitted ' +
    'while it does not answer. Never rate-limited.',
  response: { 200: text("metrics in Prometheus's text format, version 0.0.4", 'text/plain', EXAMPLE) },
  commonFails: [401, 403],
})

/** For Prometheus. Needs the scope `read`, and is never limited: a server that is not well is watched most. */
export const metricsRoutes: FastifyPluginAsync<MetricsRoutesOptions> = async (app, { exposeMetrics }) => {
  app.get('/metrics', { schema: METRICS }, async (_request, reply) => {
    const { contentType, text } = await exposeMetrics()
    return reply.type(contentType).send(text)
  })
}
