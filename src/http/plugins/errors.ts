import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { trackMethods } from '../errors/allowed-methods.ts'
import { isApiPath, toErrorReply, toPlainBody, toProblem } from '../errors/error-reply.ts'
import type { ErrorReply } from '../errors/http-error.ts'
import { logRefusedWrite } from '../errors/refused-write-log.ts'

/** Answers a failure in the form that its path has: a problem under `/v1`, elsewhere the original service's. */
export function sendError(request: FastifyRequest, reply: FastifyReply, error: ErrorReply): FastifyReply {
  reply.code(error.status)
  if (error.retryAfter !== undefined) reply.header('retry-after', String(error.retryAfter))
  if (error.headers !== undefined) reply.headers(error.headers)
  // Sent as text, which skips the response schemas: an error has one form on all routes.
  if (isApiPath(request.url)) {
    return reply.type('application/problem+json; charset=utf-8').send(JSON.stringify(toProblem(error)))
  }
  return reply.type('application/json; charset=utf-8').send(JSON.stringify(toPlainBody(error)))
}

export const errors = fp(
  async (app) => {
    app.setErrorHandler((error, request, reply) => {
      const errorReply = toErrorReply(error)
      if (errorReply.status === 500)
        request.log.error({ err: error, apiKey: request.apiKey }, 'request failed')
      logRefusedWrite(error, request.log)
      return sendError(request, reply, errorReply)
    })
    const methodsOf = trackMethods(app)
    const notFound = (request: FastifyRequest, reply: FastifyReply) => {
      const detail = `no route ${request.method} ${request.url.split('?')[0]}`
      const methods = methodsOf(request.url)
      if (methods.length === 0) return sendError(request, reply, { status: 404, detail })
      const allow = methods.join(', ')
      reply.header('allow', allow)
      return sendError(request, reply, { status: 405, detail: `${detail}; allowed: ${allow}` })
    }
    app.setNotFoundHandler(notFound)
    // Before the body is parsed: errors in it do not matter without a route.
    app.addHook('preParsing', async (request, reply) => {
      if (request.is404) await notFound(request, reply)
    })
  },
  { name: 'error-mapper' },
)
