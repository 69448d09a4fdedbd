import fp from 'fastify-plugin'
import { type ErrorCode, SchedulerError } from '../errors.ts'
import type { Failure } from './schemas.ts'

const STATUS = {
  STORE_UNAVAILABLE: 503,
  STORE_FULL: 503,
  DUE_TIME_PASSED: 400,
} as const satisfies Record<ErrorCode, number>

const WORDS = {
  STORE_UNAVAILABLE: 'Redis is not answering, so the message may not have been stored; try again',
  STORE_FULL: 'Redis is out of memory and takes no more messages for now; try again later',
  DUE_TIME_PASSED: 'time: must be in the future',
} as const satisfies Record<ErrorCode, string>

/** Fastify's and Node's own errors that deserve plainer words than theirs. */
const PLAINER: Readonly<Record<string, string>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'content-type: must be application/json',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'body: is empty; it must be a JSON object',
  FST_ERR_CTP_BODY_TOO_LARGE: 'body: is too large',
}

export const failure = (message: string): Failure => ({ status: 'error', message })

/** Answers every failure in the original service's form: the one table from error to HTTP status. */
export const errorMapper = fp(
  async (app) => {
    app.setErrorHandler(async (error, request, reply) => {
      if (error instanceof SchedulerError) {
        if (STATUS[error.code] === 503) reply.header('retry-after', '1')
        return reply.code(STATUS[error.code]).send(failure(WORDS[error.code]))
      }
      const { statusCode, code, message } = describe(error)
      if (statusCode >= 400 && statusCode < 500) {
        return reply.code(statusCode).send(failure(PLAINER[code] ?? message))
      }
      request.log.error({ err: error }, 'a request failed')
      return reply.code(500).send(failure('something went wrong on our side'))
    })
    app.setNotFoundHandler(async (request, reply) => {
      return reply.code(404).send(failure(`there is no ${request.method} ${request.url.split('?')[0]} here`))
    })
  },
  { name: 'error-mapper' },
)

function describe(error: unknown): { statusCode: number; code: string; message: string } {
  const { statusCode, code, message, validation } = error as {
    statusCode?: number
    code?: string
    message?: string
    validation?: unknown
  }
  if (validation !== undefined) return { statusCode: 400, code: '', message: message ?? '' }
  // A body that is not JSON comes as the parser's SyntaxError, with Fastify's 400.
  if (error instanceof SyntaxError || code === 'FST_ERR_CTP_INVALID_JSON_BODY') {
    return { statusCode: 400, code: '', message: 'body: is not valid JSON' }
  }
  return { statusCode: statusCode ?? 500, code: code ?? '', message: message ?? '' }
}
