import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { type ApiKey, findApiKey } from './api-keys.ts'
import { sendError } from './errors.ts'
import { isReading, pathOf, readsPublicPath } from './public-paths.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** the name of the key that it came with; undefined where no keys are set, and on what is open to all */
    apiKey: string | undefined
    /** the queue that the request is about, where its key is for leases of this one and not of all; else undefined */
    onlyQueue: string | undefined
  }
}

/**
 * Authenticates before the body is read. GET and HEAD need the scope `read`, every other method `write`; routes of a
 * queue need `pull`, for this queue or for all.
 * Without keys authentication is disabled; the settings decide whether that is allowed.
 */
export const auth = fp<{ keys: readonly ApiKey[] }>(
  async (app, { keys }) => {
    app.decorateRequest('apiKey', undefined)
    app.decorateRequest('onlyQueue', undefined)
    if (keys.length === 0) return

    app.addHook('onRequest', (request, reply, done) => {
      if (readsPublicPath(request)) return done()
      const presented = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
      const key = presented === undefined ? undefined : findApiKey(keys, presented)
      if (key === undefined) {
        reply.header('www-authenticate', 'Bearer')
        const problem = presented === undefined ? 'expected "Bearer <key>"' : 'unknown API key'
        sendError(request, reply, { status: 401, detail: `authorization: ${problem}` })
        return
      }
      const queue = queueOf(request)
      const missing = queue === undefined ? missingScope(key, request.method) : missingPull(key, queue)
      if (missing !== undefined) {
        const detail = `authorization: the key ${key.name} lacks the scope ${missing}`
        sendError(request, reply, { status: 403, detail })
        return
      }
      if (queue !== undefined && !key.scopes.includes('pull')) request.onlyQueue = queue
      request.apiKey = key.name
      done()
    })
  },
  { name: 'auth' },
)

const QUEUES = '/v1/queues/'

/** @param path of a route */
export function scopeFor(method: string, path: string): 'read' | 'write' | 'pull' {
  if (path.startsWith(QUEUES)) return 'pull'
  return isReading(method) ? 'read' : 'write'
}

function missingScope({ scopes }: ApiKey, method: string): string | undefined {
  const needed = scopeFor(method, '')
  return scopes.includes(needed) ? undefined : needed
}

function missingPull({ scopes }: ApiKey, queue: string): string | undefined {
  const isEnough = scopes.includes('pull') || scopes.includes(`pull:${queue}`)
  return isEnough ? undefined : `pull or pull:${queue}`
}

/** @returns the name as it was meant; undefined for what is about no queue */
function queueOf(request: FastifyRequest): string | undefined {
  const path = pathOf(request)
  if (!path.startsWith(QUEUES)) return undefined
  const { queue } = request.params as { queue?: string }
  // A path without a route answers 404, which any key for its queue may see.
  return queue ?? path.slice(QUEUES.length).split('/', 1)[0]
}
