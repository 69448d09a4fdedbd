import { getHeapStatistics } from 'node:v8'
import { normalizeIP, fastifyRateLimit as rateLimit } from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { sendError } from './errors.ts'
import { createHeapMonitor } from './heap-monitor.ts'
import { createRequestsInFlight, type RequestInFlight } from './requests-in-flight.ts'

/** From where on new requests are turned away. */
export interface PressureLimits {
  /** how many requests may be worked on at a time; long polls that wait are left out */
  readonly requests: number
  /** how many bytes of their bodies may be held at a time */
  readonly bodyBytes: number
  /** how much may be in use on V8's heap, garbage not yet collected included, bytes */
  readonly heapBytes: number
  /** interval of heap measurements, ms */
  readonly everyMs: number
}

const { heap_size_limit: HEAP_LIMIT } = getHeapStatistics()
/** What a request and its connection take, body and answer left out: some 20 KiB, and as much again in garbage. */
const REQUEST_BYTES = 49_152
const MOST_REQUESTS = 4_096

/**
 * Requests in flight are the measure, not event-loop delay: that is also high when the machine is busy with something
 * else, and rejecting the only request would help nobody.
 *
 * - Requests: as many as are answered within a second, the limit of `/health`, also on a slow machine; fewer if the
 *   heap is so small that they alone would fill it.
 * - Bodies: an eighth of the heap limit. They are held outside the heap until they are parsed, and then once inside.
 * - The heap: half of V8's own limit, which follows the machine's or container's memory and --max-old-space-size. V8
 *   aborts a process that uses four fifths of its old generation and cannot free any. The limit includes the young
 *   generation, and requests between two measurements need room too. Measured: with 128 MB of old space, an abort at
 *   115 MB, while JSON batches of 10,000 made usage vary by up to 40 MB. Not RSS: it stays high after a peak, so the
 *   server might never accept a request again.
 */
export const PRESSURE_LIMITS: PressureLimits = {
  bodyBytes: Math.floor(HEAP_LIMIT / 8),
  requests: Math.min(MOST_REQUESTS, Math.floor(HEAP_LIMIT / 4 / REQUEST_BYTES)),
  heapBytes: Math.floor(HEAP_LIMIT / 2),
  everyMs: 250,
}

export interface LimitsOptions {
  /** requests a key, or else an address, may make of this process in a minute; 0 means any number */
  readonly perMinute: number
  readonly pressure?: PressureLimits
}

declare module 'fastify' {
  interface FastifyRequest {
    /** what it counts for while it is worked on; undefined for what is never limited */
    inFlight?: RequestInFlight | undefined
  }
}

/** Health checks. They must answer above all when the server is overloaded. */
const NEVER_LIMITED: ReadonlySet<string> = new Set(['/health', '/ready', '/live', '/metrics'])
const isNeverLimited = ({ routeOptions }: FastifyRequest) => NEVER_LIMITED.has(routeOptions.url ?? '')

const MINUTE_MS = 60_000
/** A request takes far less than a second. */
const OVERLOADED = {
  status: 503,
  detail: 'server overloaded; retry later',
  retryAfter: 1,
}

/**
 * Rejects requests before their body is read: with 503 while this process is overloaded, with 429 once a key has used
 * up its requests of the minute. Runs after auth, which identifies the key. Requests that auth rejects are not counted,
 * as a 401 costs no more than a 429.
 */
export const limits = fp<LimitsOptions>(
  async (app, { perMinute, pressure = PRESSURE_LIMITS }) => {
    const inFlight = createRequestsInFlight(pressure.bodyBytes)
    const isHeapFull = createHeapMonitor(pressure.heapBytes, pressure.everyMs)
    // A single request is always served: if it were rejected, nothing would ever make V8 collect the garbage that fills
    // the heap.
    const isTooMuch = () => inFlight.count >= pressure.requests || (inFlight.count > 0 && isHeapFull())
    app.decorateRequest('inFlight', undefined)
    app.addHook('onRequest', (request, reply, done) => {
      if (isNeverLimited(request)) return done()
      if (isTooMuch()) {
        sendError(request, reply, OVERLOADED)
        return
      }
      request.inFlight = inFlight.add(request.raw.socket)
      done()
    })
    app.addHook('onResponse', (request, _reply, done) => {
      request.inFlight?.remove()
      done()
    })
    if (perMinute === 0) return

    await app.register(rateLimit, {
      global: false,
      max: perMinute,
      timeWindow: MINUTE_MS,
      // Told apart, since a key's name may look like an address.
      keyGenerator: ({ apiKey, ip }) => (apiKey === undefined ? `from ${normalizeIP(ip)}` : `key ${apiKey}`),
      allowList: isNeverLimited,
      errorResponseBuilder: (_request, { statusCode, max, after }) =>
        Object.assign(new Error(`at most ${max} requests per minute; retry in ${after}`), { statusCode }),
    })
    // One hook for all rather than the plugin's one per route, which would leave out unknown paths.
    app.addHook('onRequest', app.rateLimit())
  },
  { name: 'limits', dependencies: ['auth', 'error-mapper'] },
)
