import type { FastifyInstance } from 'fastify'
import { type ClientTimes, type Connections, watchConnections } from './client-timeouts.ts'

/** How often refused connections are told of, ms. */
const TELL_EVERY_MS = 60_000

/** How long an answer of how many there may be holds, ms. */
const ASK_EVERY_MS = 1_000

export interface ConnectionLimits {
  /** @returns how many there may be at a time; undefined where that cannot be told */
  readonly maxConnections: () => number | undefined
  readonly clientTimes: ClientTimes
}

/**
 * Bounds connections in number and in time, answers clients that close their side after the request, and, once the
 * server closes, has every answer say so.
 */
export function limitConnections(
  app: FastifyInstance,
  { maxConnections, clientTimes }: ConnectionLimits,
): Connections {
  const { server } = app
  // Known to Node's server, though not to its documentation: or it closes what was half closed before it answers.
  Object.assign(server, { httpAllowHalfOpen: true })
  const connections = watchConnections(server, clientTimes)
  app.addHook('preClose', () => connections.close())
  let askFrom = Number.NEGATIVE_INFINITY
  const bound = () => {
    if (performance.now() < askFrom) return
    askFrom = performance.now() + ASK_EVERY_MS
    server.maxConnections = maxConnections() ?? server.maxConnections
  }
  server.on('connection', bound)

  let tellFrom = Number.NEGATIVE_INFINITY
  server.on('drop', () => {
    if (performance.now() < tellFrom) return
    tellFrom = performance.now() + TELL_EVERY_MS
    app.log.warn(
      `${server.maxConnections} connections are open, as many as file descriptors allow; new ones are ` +
        'refused',
    )
  })
  return connections
}
