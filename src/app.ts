import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  LogController,
} from 'fastify'
import { echoAtTimeRoutes } from './http/echo-at-time.routes.ts'
import { errorMapper, failure } from './http/error-mapper.plugin.ts'
import { type HealthCheck, healthRoutes } from './http/health.routes.ts'
import { homeRoutes } from './http/home.routes.ts'
import { validatorCompiler } from './http/validation.ts'
import type { Scheduler } from './schedule/scheduler.ts'

export interface AppDeps {
  /** absent where this server does not take messages (ROLES without api) */
  readonly scheduler?: Scheduler
  readonly checkHealth: HealthCheck
  readonly logger: FastifyBaseLogger
}

/** Composes the HTTP side; never listens. Whoever made the dependencies closes them. */
export async function buildApp({ scheduler, checkHealth, logger }: AppDeps): Promise<FastifyInstance> {
  const app = Fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    // While closing, a request on a kept-alive connection is still served, in our own words.
    return503OnClosing: false,
    frameworkErrors: (error, _request, reply) => {
      // Fastify types this reply by the schema of a route, and here there is none yet.
      void (reply as FastifyReply).code(error.statusCode ?? 400).send(failure(error.message))
    },
    clientErrorHandler(error, socket) {
      if (!socket.writable) return
      const tooLarge = (error as NodeJS.ErrnoException).code === 'HPE_HEADER_OVERFLOW'
      const body = JSON.stringify(
        failure(tooLarge ? 'headers: are too large' : 'the request is not valid HTTP'),
      )
      const status = tooLarge ? '431 Request Header Fields Too Large' : '400 Bad Request'
      socket.end(
        `HTTP/1.1 ${status}\r\ncontent-type: application/json; charset=utf-8\r\n` +
          `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
      )
    },
  })
  app.setValidatorCompiler(validatorCompiler)
  app.removeContentTypeParser('text/plain') // or a wrong type would be told off for its content
  await app.register(errorMapper) // first, so that every later scope inherits it
  await app.register(homeRoutes)
  await app.register(healthRoutes, { checkHealth })
  if (scheduler !== undefined) await app.register(echoAtTimeRoutes, { scheduler })
  return app
}
