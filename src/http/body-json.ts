import type { FastifyInstance, FastifyRequest } from 'fastify'
import { readText } from './body-text.ts'
import { Refusal } from './refusal.ts'

const BYTE_ORDER_MARK = 0xfeff

/**
 * Makes something of a body's text; undefined stands for no body.
 * @throws Error with `statusCode` or a Refusal where the text is wrong
 */
export type ParseText = (text: string, request: FastifyRequest) => unknown

/**
 * A key like __proto__ is one like any other here: objects are validated and passed on, and never merged.
 * @throws Refusal (400) where it is empty or not JSON
 */
export function parseJson(text: string): unknown {
  if (text === '') throw new Refusal({ status: 400, detail: 'body: is empty; it must be a JSON object' })
  try {
    return JSON.parse(text.charCodeAt(0) === BYTE_ORDER_MARK ? text.slice(1) : text)
  } catch (error) {
    throw new Refusal({ status: 400, detail: 'body: is not valid JSON' }, { cause: error })
  }
}

/**
 * Has the JSON bodies of a scope read as text and parsed.
 *
 * @param limit bytes a body may have
 */
export function addJsonParser(app: FastifyInstance, limit: number, parse: ParseText): void {
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
