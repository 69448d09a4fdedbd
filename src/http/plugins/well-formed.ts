import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { ErrorReply } from '../errors/http-error.ts'
import { sendError } from './errors.ts'

/** What an address seldom has: an encoded byte, or one that should have been encoded. */
const UNUSUAL = /[%\x80-\xFF]/

/**
 * Rejects ambiguous requests: a body with an unsupported transfer coding (501), and a path or query that is not UTF-8
 * (400).
 */
export const wellFormed = fp(
  async (app) => {
    app.addHook('onRequest', (request, reply, done) => {
      const errorReply = whatIsWrong(request)
      if (errorReply === undefined) return done()
      sendError(request, reply, errorReply)
    })
  },
  { name: 'well-formed', dependencies: ['error-mapper'] },
)

function whatIsWrong({ raw }: FastifyRequest): ErrorReply | undefined {
  const { 'transfer-encoding': coding } = raw.headers
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') {
    return { status: 501, detail: `transfer-encoding: ${coding} is not supported; it must be chunked` }
  }
  const { url = '' } = raw
  if (UNUSUAL.test(url) && !isUtf8(url)) {
    return { status: 400, detail: 'the path or the query is not percent-encoded UTF-8' }
  }
  return undefined
}

function isUtf8(url: string): boolean {
  if (/[\x80-\xFF]/.test(url)) return false
  try {
    decodeURIComponent(url)
    return true
  } catch {
    return false
  }
}
