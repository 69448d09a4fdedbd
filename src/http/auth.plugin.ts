import fp from 'fastify-plugin'
import { type ApiKey, findApiKey, type Scope } from './api-keys.ts'
import { sendFailure } from './error-mapper.plugin.ts'
import { isReading, readsOpenPath } from './open-paths.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** the name of the key that it came with; undefined where no keys are set, and on what is open to all */
    apiKey: string | undefined
  }
}

/**
 * Asks for a key at the door, before the body is read: GET and HEAD need the scope `read`, every other method `write`.
 * Without keys it lets everybody in; whether that may be is decided where the settings are read.
 */
export const auth = fp<{ keys: readonly ApiKey[] }>(
  async (app, { keys }) => {
    app.decorateRequest('apiKey', undefined)
    if (keys.length === 0) return

    app.addHook('onRequest', (request, reply, done) => {
      if (readsOpenPath(request)) return done()
      const presented = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
      const key = presented === undefined ? undefined : findApiKey(keys, presented)
      if (key === undefined) {
        reply.header('www-authenticate', 'Bearer')
        const problem =
          presented === undefined ? 'must be Bearer and a key' : 'is not a key that is known here'
        sendFailure(request, reply, { status: 401, detail: `authorization: ${problem}` })
        return
      }
      const needed = scopeFor(request.method)
      if (!key.scopes.includes(needed)) {
        const detail = `authorization: the key ${key.name} has no scope ${needed}, which ${request.method} needs`
        sendFailure(request, reply, { status: 403, detail })
        return
      }
      request.apiKey = key.name
      done()
    })
  },
  { name: 'auth' },
)

const scopeFor = (method: string): Scope => (isReading(method) ? 'read' : 'write')
