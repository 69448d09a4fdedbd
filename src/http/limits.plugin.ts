import { getHeapStatistics } from 'node:v8'
import { normalizeIP, fastifyRateLimit as rateLimit } from '@fastify/rate-limit'
import { fastifyUnderPressure as underPressure } from '@fastify/under-pressure'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { sendFailure } from './error-mapper.plugin.ts'

/** From where on new requests are turned away. */
export interface PressureLimits {
  /** how late the event loop may be on average over one look, ms */
  readonly loopDelayMs: number
  /** how much may be in use on V8's heap, garbage not yet collected included, bytes */
  readonly heapBytes: number
  /** how often to look, ms */
  readonly everyMs: number
}

/**
 * - The loop: `/health` gives Redis a second, and so do most who ask for it; at half of that being late, more requests
 *   would only make a server that still works look dead. It is a mean, so one large batch is not taken for overload.
 * - The heap: half of V8's own limit, which follows the machine's or container's memory and --max-old-space-size. V8
 *   ends a process that uses four fifths of its old generation and cannot free any; the limit counts the young one in,
 *   and requests that arrive between two looks need room too. Seen: with 128 MB of old space, dead at 115 MB, while
 *   JSON batches of 10,000 made it swing up to 40 MB. Not RSS: it stays high after a peak, and a server that judged
 *   itself by it might never take another request.
 */
export const PRESSURE_LIMITS: PressureLimits = {
  loopDelayMs: 500,
  heapBytes: Math.floor(getHeapStatistics().heap_size_limit / 2),
  everyMs: 1_000,
}

export interface LimitsOptions {
  /** requests a key, or else an address, may make of this process in a minute; 0 means any number */
  readonly perMinute: number
  readonly pressure?: PressureLimits
}

/** Paths that say whether this server is well. Those who ask must hear it above all when it is not. */
const NEVER_LIMITED: ReadonlySet<string> = new Set(['/health', '/ready', '/live', '/metrics'])
const isNeverLimited = ({ routeOptions }: FastifyRequest) => NEVER_LIMITED.has(routeOptions.url ?? '')

const MINUTE_MS = 60_000
/** The next look may see another picture. */
const OVERLOADED = {
  status: 503,
  detail: 'the server has more to do than it can; try again',
  retryAfter: 1,
}

/**
 * Turns requests away before their body is read: with 503 while this process has too much to do, with 429 once a key
 * has had its requests of the minute. Comes after auth, which knows the key; what auth turns away is not counted, as
 * answering 401 costs no more than 429 does.
 */
export const limits = fp<LimitsOptions>(
  async (app, { perMinute, pressure = PRESSURE_LIMITS }) => {
    await app.register(underPressure, {
      maxEventLoopDelay: pressure.loopDelayMs,
      maxHeapUsedBytes: pressure.heapBytes,
      sampleInterval: pressure.everyMs,
      // Awaited until it is sent: the plugin goes on with the request afterwards, which Fastify skips only then.
      pressureHandler: async (request, reply) => {
        if (!isNeverLimited(request)) await sendFailure(request, reply, OVERLOADED)
      },
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
        Object.assign(new Error(`at most ${max} requests a minute; try again in ${after}`), { statusCode }),
    })
    // One hook for all rather than the plugin's one per route, which would leave out unknown paths.
    app.addHook('onRequest', app.rateLimit())
  },
  { name: 'limits', dependencies: ['auth', 'error-mapper'] },
)
