import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { noteMethods } from '../errors/allowed-methods.ts'
import { type Failure, isApiPath, toFailure, toPlainBody, toProblem } from '../errors/error-reply.ts'
import { logRefusal } from '../errors/refused-write-log.ts'

/** Answers a failure in the form that its path has: a problem under `/v1`, elsewhere the original service's. */
export function sendFailure(request: FastifyRequest, reply: FastifyReply, failure: Failure): FastifyReply {
  reply.code(failure.status)
  if (failure.retryAfter !== undefined) reply.header('retry-after', String(failure.retryAfter))
  if (failure.headers !== undefined) reply.headers(failure.headers)
  // Text, and so past the response schemas: a failure has one form whatever a route's replies look like.
  if (isApiPath(request.url)) {
    return reply.type('application/problem+json; charset=utf-8').send(JSON.stringify(toProblem(failure)))
  }
  return reply.type('application/json; charset=utf-8').send(JSON.stringify(toPlainBody(failure)))
}

export const errorMapper = fp(
  async (app) => {
    app.setErrorHandler((error, request, reply) => {
      const failure = toFailure(error)
      if (failure.status === 500) request.log.error({ err: error, apiKey: request.apiKey }, 'request failed')
      logRefusal(error, request.log)
      return sendFailure(request, reply, failure)
    })
    const methodsOf = noteMethods(app)
    const notFound = (request: FastifyRequest, reply: FastifyReply) => {
      const detail = `no route ${request.method} ${request.url.split('?')[0]}`
      const methods = methodsOf(request.url)
      if (methods.length === 0) return sendFailure(request, reply, { status: 404, detail })
      const allow = methods.join(', ')
      reply.header('allow', allow)
      return sendFailure(request, reply, { status: 405, detail: `${detail}; allowed: ${allow}` })
    }
    app.setNotFoundHandler(notFound)
    // Before its body is looked at: what is wrong with that does not matter where nothing is.
    app.addHook('preParsing', async (request, reply) => {
      if (request.is404) await notFound(request, reply)
    })
  },
  { name: 'error-mapper' },
)
