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
