import type { FastifyPluginAsync } from 'fastify'

export interface MetricsRoutesOptions {
  /** what is measured, in Prometheus's text form */
  readonly exposeMetrics: () => Promise<{ readonly contentType: string; readonly text: string }>
}

/** For Prometheus. Needs the scope `read`, and is never limited: a server that is not well is watched most. */
export const metricsRoutes: FastifyPluginAsync<MetricsRoutesOptions> = async (app, { exposeMetrics }) => {
  app.get('/metrics', async (_request, reply) => {
    const { contentType, text } = await exposeMetrics()
    return reply.type(contentType).send(text)
  })
}
