import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { readText } from './body-text.ts'

/**
 * Parses a body's text; undefined means no body.
 * @throws Error with `statusCode`, or an HttpError, if the text is wrong
 */
export type ParseText = (text: string, request: FastifyRequest) => unknown

/**
 * Has the JSON bodies of a scope read as text and parsed. @see request-json.ts
 *
 * @param limit bytes a body may have
 */
export function addJsonParser(app: FastifyInstance, limit: number, parse: ParseText): void {
  app.removeContentTypeParser('application/json')
  app.addContentTypeParser('application/json', (request, payload, done) => {
    readText(request, payload, limit, (error, text = '') => {
      if (error !== null) return done(error)
      let body: unknown
      try {
        body = parse(text, request)
      } catch (wrong) {
        return done(wrong as Error)
      }
      done(null, body)
    })
  })
}

/**
 * The same for a scope whose requests may come without a body, with any declared content type. Their routes have
 * `withoutBodyEmpty`.
 */
export function addOptionalJsonParser(
  app: FastifyInstance,
  limit: number,
  parse: (text: string) => unknown,
): void {
  addJsonParser(app, limit, (text) => (text === '' ? undefined : parse(text)))
  app.addContentTypeParser('*', ({ headers }, _stream, done) =>
    hasNoBody(headers) ? done(null) : done(wrongType()),
  )
}

/** A hook before validation: no body is an empty object. */
export async function withoutBodyEmpty(request: FastifyRequest): Promise<void> {
  if (request.body === undefined) request.body = {}
}

const hasNoBody = (headers: IncomingHttpHeaders) =>
  headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0

const wrongType = () =>
  Object.assign(new Error('content-type: must be application/json'), { statusCode: 415 })
