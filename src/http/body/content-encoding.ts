import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { HttpError } from '../errors/http-error.ts'

const GZIP: ReadonlySet<string> = new Set(['gzip', 'x-gzip'])
const PLAIN: ReadonlySet<string> = new Set(['', 'identity'])

const NOT_GZIP = { status: 400, detail: 'body: is not valid gzip' }

/**
 * Undoes the content coding of a body.
 *
 * @returns the decoded bytes, as a stream that fails with a HttpError where the body is not what its coding says; the
 *   payload itself where it has none
 * @throws HttpError (415) for a coding other than gzip
 */
export function decoded(payload: Readable, { 'content-encoding': coding }: IncomingHttpHeaders): Readable {
  if (coding === undefined) return payload
  const name = coding.trim().toLowerCase()
  if (PLAIN.has(name)) return payload
  if (!GZIP.has(name)) {
    throw new HttpError({
      status: 415,
      detail: `content-encoding: ${coding} is not supported; it must be gzip, or left out`,
      headers: { 'accept-encoding': 'gzip' },
    })
  }
  // Output is produced chunk by chunk, so that a limit holds for any declared size.
  const gunzip = createGunzip()
  payload.once('error', (error) => gunzip.destroy(error))
  // What is left of a body that cannot be decoded is read and dropped, or the connection could not be closed in order.
  gunzip.once('error', () => payload.resume())
  return payload.pipe(gunzip)
}

/** What a client is told of an error of the stream that `decoded` returned. */
export const toDecodingError = (error: NodeJS.ErrnoException) =>
  error.code?.startsWith('Z_') ? new HttpError(NOT_GZIP, { cause: error }) : error
