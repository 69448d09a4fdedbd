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
  /** how long one look at the heap holds, ms */
  readonly everyMs: number
}

const { heap_size_limit: HEAP_LIMIT } = getHeapStatistics()
/** What a request and its connection take, body and answer left out: some 20 KiB, and as much again in garbage. */
const REQUEST_BYTES = 49_152
const MOST_REQUESTS = 4_096

/**
 * The measure is what is in hand, never how late the event loop is: that is late too when the machine is busy with
 * something else, and turning away the only request there is would help nobody.
 *
 * - Requests: as many as are still answered within the second that `/health` has, also on a slow machine, and fewer
 *   where the heap is so small that they alone would fill it.
 * - Bodies: an eighth of the heap's limit, outside of which they are held until they are parsed, and once more inside.
 * - The heap: half of V8's own limit, which follows the machine's or container's memory and --max-old-space-size. V8
 *   ends a process that uses four fifths of its old generation and cannot free any; the limit counts the young one in,
 *   and requests that arrive between two looks need room too. Seen: with 128 MB of old space, dead at 115 MB, while
 *   JSON batches of 10,000 made it swing up to 40 MB. Not RSS: it stays high after a peak, and a server that judged
 *   itself by it might never take another request.
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

/** Paths that say whether this server is well. Those who ask must hear it above all when it is not. */
const NEVER_LIMITED: ReadonlySet<string> = new Set(['/health', '/ready', '/live', '/metrics'])
const isNeverLimited = ({ routeOptions }: FastifyRequest) => NEVER_LIMITED.has(routeOptions.url ?? '')

const MINUTE_MS = 60_000
/** A request in hand takes far less than a second. */
const OVERLOADED = {
  status: 503,
  detail: 'server overloaded; retry later',
  retryAfter: 1,
}

/**
 * Turns requests away before their body is read: with 503 while this process has too much to do, with 429 once a key
 * has had its requests of the minute. Comes after auth, which knows the key; what auth turns away is not counted, as
 * answering 401 costs no more than 429 does.
 */
export const limits = fp<LimitsOptions>(
  async (app, { perMinute, pressure = PRESSURE_LIMITS }) => {
    const inFlight = createRequestsInFlight(pressure.bodyBytes)
    const isHeapFull = createHeapMonitor(pressure.heapBytes, pressure.everyMs)
    // A request that comes alone is served whatever the heap looks like: turned away, nothing would ever make V8 collect
    // the garbage that fills it.
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
