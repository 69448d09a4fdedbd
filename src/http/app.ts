import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify'
import type { TestClock } from '../clock/test-clock.ts'
import { addJsonParser } from './body/json-parser.ts'
import { parseFields } from './body/request-json.ts'
import { CLIENT_TIMES, type ClientTimes } from './connections/client-timeouts.ts'
import { type ConnectionLimits, limitConnections } from './connections/connection-limit.ts'
import { answerExpectations, answerMalformed } from './connections/malformed-requests.ts'
import { SecuredResponse } from './connections/security-headers.ts'
import { toErrorReply } from './errors/error-reply.ts'
import { type MetricsRoutesOptions, metricsRoutes } from './monitoring/metrics.ts'
import { type ReadyCheck, readyRoutes } from './monitoring/ready.ts'
import { echoAtTimeRoutes } from './original/echo-at-time.ts'
import { type HealthCheck, healthRoutes } from './original/health.ts'
import { homeRoutes } from './original/home.ts'
import type { ApiKey } from './plugins/api-keys.ts'
import { auth } from './plugins/auth.ts'
import { errors, sendError } from './plugins/errors.ts'
import type { Authority } from './plugins/hosts.ts'
import { limits } from './plugins/limits.ts'
import { openapi } from './plugins/openapi.ts'
import { origins } from './plugins/origins.ts'
import { publicUrl } from './plugins/public-url.ts'
import { testClockHeader } from './plugins/test-clock-header.ts'
import { wellFormed } from './plugins/well-formed.ts'
import { api } from './v1/api.ts'
import { clockRoutes } from './v1/clock/routes.ts'
import type { ApiDeps } from './v1/deps.ts'
import { validatorCompiler } from './validation/validation.ts'

export interface AppDeps {
  /** what the routes for messages need; absent where this server takes none (ROLES without api) */
  readonly api?: ApiDeps
  /** absent without TEST_CLOCK */
  readonly testClock?: TestClock
  readonly checkHealth: HealthCheck
  readonly checkReady: ReadyCheck
  readonly exposeMetrics: MetricsRoutesOptions['exposeMetrics']
  /** API keys; without any, authentication is disabled */
  readonly keys: readonly ApiKey[]
  /** whether, without keys, it is served under any name that is asked for */
  readonly allowOpen?: boolean
  /** names of this server in addition to loopback names */
  readonly allowedHosts?: readonly Authority[]
  /** origins whose pages may use it, as browsers write them */
  readonly corsOrigins?: readonly string[]
  /** whether a proxy with this address is to be believed about who asks, and under which name; absent trusts none */
  readonly isTrustedProxy?: (address: string) => boolean
  /** requests a key, or else an address, may make in a minute; 0 and absent mean any number */
  readonly perMinute?: number
  /** how many connections there may be at a time, as it is now; those beyond are refused */
  readonly maxConnections?: ConnectionLimits['maxConnections']
  readonly clientTimes?: ClientTimes
  readonly logger: FastifyBaseLogger
}

/** Where no messages are taken no body is of any use. */
const SMALL_BODY_BYTES = 1_024

/** Composes the HTTP side; never listens. The caller closes the dependencies that it made. */
export async function buildApp({
  api: apiDeps,
  testClock,
  checkHealth,
  checkReady,
  exposeMetrics,
  keys,
  allowOpen = false,
  allowedHosts = [],
  corsOrigins = [],
  isTrustedProxy,
  perMinute = 0,
  maxConnections = () => undefined,
  clientTimes = CLIENT_TIMES,
  logger,
}: AppDeps): Promise<FastifyInstance> {
  const bodyLimit = apiDeps?.bodyLimit ?? SMALL_BODY_BYTES
  const app = Fastify({
    loggerInstance: logger,
    bodyLimit,
    trustProxy: isTrustedProxy ?? false,
    // An id of 128 characters, each percent-encoded.
    routerOptions: { maxParamLength: 384 },
    logController: new LogController({ disableRequestLogging: true }),
    // While closing, a request on a kept-alive connection is still served, in our own words.
    return503OnClosing: false,
    frameworkErrors: (error, request, reply) => {
      // Fastify types these by the schema of a route, and here there is none yet.
      sendError(request as FastifyRequest, reply as FastifyReply, toErrorReply(error))
    },
    clientErrorHandler: (error, socket) => answerMalformed(error, socket, connections.answerOn(socket)),
    // A request without a Host header is answered like any other.
    http: {
      requireHostHeader: false,
      ServerResponse: SecuredResponse,
      headersTimeout: clientTimes.silenceMs,
      connectionsCheckingInterval: clientTimes.everyMs,
    },
  })
  answerExpectations(app.server)
  const connections = limitConnections(app, { maxConnections, clientTimes })
  app.setValidatorCompiler(validatorCompiler)
  addJsonParser(app, bodyLimit, (text, { method }) =>
    // Clients send the content type with every request, also with one that has no body.
    text === '' && method === 'DELETE' ? undefined : parseFields(text),
  )
  app.removeContentTypeParser('text/plain') // or a wrong type would be rejected for its content
  if (testClock !== undefined) await app.register(testClockHeader, { now: testClock.now })
  await app.register(errors) // first, so that every later scope inherits it
  await app.register(publicUrl, { isTrusted: isTrustedProxy ?? (() => false) })
  const checkHosts = keys.length === 0 && !allowOpen
  await app.register(origins, { checkHosts, allowedHosts, corsOrigins }) // before anything is told, even of keys
  await app.register(auth, { keys }) // before all that reads a body, and before the limits, which go by key
  await app.register(wellFormed)
  await app.register(limits, { perMinute })
  await app.register(openapi) // before all routes that it is to describe
  await app.register(homeRoutes)
  await app.register(healthRoutes, { checkHealth })
  await app.register(readyRoutes, { checkReady })
  await app.register(metricsRoutes, { exposeMetrics })
  if (testClock !== undefined) await app.register(clockRoutes, { testClock, prefix: '/v1' })
  if (apiDeps !== undefined) {
    await app.register(echoAtTimeRoutes, apiDeps)
    await app.register(api, { deps: apiDeps, prefix: '/v1' })
  }
  return app
}
