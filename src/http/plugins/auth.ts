import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { type ApiKey, findApiKey, type Scope } from './api-keys.ts'
import { sendError } from './errors.ts'
import { isReading, pathOf, readsPublicPath } from './public-paths.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** the name of the key that it came with; undefined where no keys are set, and on what is open to all */
    apiKey: string | undefined
    /** what its key may do; undefined as apiKey is */
    scopes: readonly Scope[] | undefined
    /** whether payloads, headers and bodies belong into its answer */
    seesContent: boolean
    /** the queue that the request is about, where its key is for leases of this one and not of all; else undefined */
    onlyQueue: string | undefined
  }
}

/**
 * Authenticates before the body is read. GET and HEAD need the scope `read` or `browse`, every other method `write`;
 * routes of a queue need `pull`, for this queue or for all. Without keys authentication is disabled; the settings
 * decide whether that is allowed.
 */
export const auth = fp<{ keys: readonly ApiKey[] }>(
  async (app, { keys }) => {
    app.decorateRequest('apiKey', undefined)
    app.decorateRequest('scopes', undefined)
    app.decorateRequest('seesContent', true)
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
      const missing = queue === undefined ? missingScope(key, request) : missingPull(key, queue)
      if (missing !== undefined) {
        const detail = `authorization: the key ${key.name} lacks the scope ${missing}`
        sendError(request, reply, { status: 403, detail })
        return
      }
      if (queue !== undefined && !key.scopes.includes('pull')) request.onlyQueue = queue
      request.apiKey = key.name
      request.scopes = key.scopes
      request.seesContent = key.scopes.includes('read') || !key.scopes.includes('browse')
      done()
    })
  },
  { name: 'auth' },
)

const QUEUES = '/v1/queues/'
/** What tells a key of itself. */
const FOR_ANY_KEY = '/v1/me'

/** @param path of a route @returns the scopes of which a key needs one; none where any key will do */
export function scopesFor(method: string, path: string): readonly ('read' | 'browse' | 'write' | 'pull')[] {
  if (path.startsWith(QUEUES)) return ['pull']
  if (!isReading(method)) return ['write']
  return path === FOR_ANY_KEY ? [] : ['read', 'browse']
}

function missingScope({ scopes }: ApiKey, request: FastifyRequest): string | undefined {
  const enough = scopesFor(request.method, pathOf(request))
  return enough.length === 0 || enough.some((scope) => scopes.includes(scope))
    ? undefined
    : enough.join(' or ')
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
