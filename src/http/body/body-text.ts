import type { Readable } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import { type BodySource, onTooSlow } from '../connections/client-timeouts.ts'
import { HttpError } from '../errors/http-error.ts'
import { checkCharset, toText } from './charset.ts'
import { decoded, toDecodingError } from './content-encoding.ts'

export const TOO_LARGE = { status: 413, detail: 'body: is too large' }
export const TOO_MUCH_IN_FLIGHT = {
  status: 503,
  detail: 'server overloaded: too many request bodies in memory; retry later',
  retryAfter: 1,
}

const CUT_OFF = { status: 400, detail: 'body: ended before it was complete' }

type Done = (error: Error | null, text?: string) => void

/**
 * Reads a body to its end and makes text of it: its content coding undone, its size bounded before and after that, and
 * its bytes checked to be UTF-8. A byte order mark is left where it is.
 *
 * @param limit bytes it may have, decoded or not
 * @param done told the text, or a HttpError (400, 408, 413, 415, 503)
 */
export function readText(request: FastifyRequest, payload: Readable, limit: number, done: Done): void {
  const { headers, inFlight } = request
  const promised = Number(headers['content-length'] ?? 0)
  let source: Readable
  try {
    checkCharset(headers)
    if (promised > limit) throw new HttpError(TOO_LARGE)
    if (inFlight?.hasRoomFor(promised) === false) throw new HttpError(TOO_MUCH_IN_FLIGHT)
    source = decoded(payload, headers)
  } catch (error) {
    done(error as HttpError)
    return
  }
  const raw: BodySource = request.raw
  const chunks: Buffer[] = []
  let bytes = 0

  function onData(chunk: Buffer): void {
    bytes += chunk.length
    if (bytes > limit) end(new HttpError(TOO_LARGE))
    else if (inFlight?.holdBytes(chunk.length) === false) end(new HttpError(TOO_MUCH_IN_FLIGHT))
    else chunks.push(chunk)
  }

  function onEnd(): void {
    const [first] = chunks
    const text = toText(first !== undefined && chunks.length === 1 ? first : Buffer.concat(chunks, bytes))
    if (typeof text === 'string') end(null, text)
    else end(text)
  }

  function onError(error: Error): void {
    const decodingError = toDecodingError(error)
    // Else the connection broke, and no client is left to answer.
    end(decodingError instanceof HttpError ? decodingError : new HttpError(CUT_OFF, { cause: error }))
  }

  function end(error: Error | null, text?: string): void {
    source.removeListener('data', onData)
    source.removeListener('end', onEnd)
    source.removeListener('error', onError)
    raw[onTooSlow] = undefined
    if (source !== payload && error !== null) abandon(source, payload)
    chunks.length = 0
    done(error, text)
  }

  raw[onTooSlow] = end
  source.on('data', onData)
  source.on('end', onEnd)
  source.on('error', onError)
}

/** Stops decoding; the rest is read and dropped. */
function abandon(source: Readable, payload: Readable): void {
  source.on('error', () => undefined)
  payload.unpipe()
  payload.resume()
  source.destroy()
}
