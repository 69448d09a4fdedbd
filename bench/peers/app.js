// @ts-check
// The service's own HTTP side as it is built, with its plugins, schemas and routes, in front of another scheduler.

import { randomBytes } from 'node:crypto'

/** A module of the build, which need not be there when types are checked. @param {string} path */
const built = (path) => import(new URL(`../../dist/${path}`, import.meta.url).href)
const { buildApp } = /** @type {typeof import('../../src/http/app.ts')} */ (await built('http/app.js'))
const { createStdout } = /** @type {typeof import('../../src/destinations/console/stdout.ts')} */ (
  await built('destinations/console/stdout.js')
)
const { createLogger } = /** @type {typeof import('../../src/server/logger.ts')} */ (
  await built('server/logger.js')
)

/** @typedef {NonNullable<import('../../src/http/app.ts').AppDeps['api']>} ApiDeps */

/**
 * Listens on a port of its own choice, and logs which.
 *
 * @param {(message: { dueAt: number, payload: unknown }) => Promise<string>} store answers the id
 */
export async function listen(store) {
  /** @type {ApiDeps['scheduler']['schedule']} */
  const schedule = async ({ due, payload }) => {
    const now = Date.now()
    const dueAt = 'at' in due ? due.at : now + due.inMs
    return { id: await store({ dueAt, payload }), dueAt, createdAt: now, duplicate: false }
  }
  // What the routes that are not measured need is left out.
  const api = /** @type {ApiDeps} */ (
    /** @type {unknown} */ ({
      scheduler: { schedule },
      now: Date.now,
      checkDestination: () => [],
      bodyLimit: 1_048_576,
      batchBodyLimit: 16_777_216,
    })
  )
  const app = await buildApp({
    ...{ api, keys: [], checkHealth: async () => undefined, checkReady: async () => undefined },
    exposeMetrics: async () => ({ contentType: 'text/plain', text: '' }),
    logger: createLogger(createStdout(), 'info'),
  })
  await app.listen({ host: '127.0.0.1', port: 0, listenTextResolver: (address) => `listening on ${address}` })
}

let count = 0
const self = randomBytes(3).toString('base64url')

/** An id as long as the service's. */
export function nextId() {
  count += 1
  return `~${self}${count.toString(36).padStart(8, '0')}`
}
