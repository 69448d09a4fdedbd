import type { FastifyInstance } from 'fastify'
import { type ClientTimes, watchConnections } from './connections.ts'

/** How often refused connections are told of, ms. */
const TELL_EVERY_MS = 60_000

export interface ConnectionBounds {
  /** at a time; undefined for any number */
  readonly maxConnections: number | undefined
  readonly clientTimes: ClientTimes
}

/**
 * Bounds connections in number and in time, answers clients that close their side after the request, and, once the
 * server closes, has every answer say so.
 */
export function boundConnections(
  app: FastifyInstance,
  { maxConnections, clientTimes }: ConnectionBounds,
): void {
  const { server } = app
  // Known to Node's server, though not to its documentation: or it closes what was half closed before it answers.
  Object.assign(server, { httpAllowHalfOpen: true })
  const connections = watchConnections(server, clientTimes)
  app.addHook('preClose', async () => connections.close())
  if (maxConnections === undefined) return

  server.maxConnections = maxConnections
  let tellFrom = Number.NEGATIVE_INFINITY
  server.on('drop', () => {
    if (performance.now() < tellFrom) return
    tellFrom = performance.now() + TELL_EVERY_MS
    app.log.warn(
      `${maxConnections} connections are open, as many as file descriptors allow; more are refused`,
    )
  })
}
