import type { FastifyReply, FastifyRequest } from 'fastify'
import { sleep } from '../../../runtime/sleep.ts'

/** How long a client that is gone may need to say so, once something is sent to it, ms. */
const PROBE_MS = 100

/** Whether the client of a request is still there to take the answer. */
export interface ClientPresence {
  /** aborted once nothing should be waited for any more: the client is gone, or has closed its side */
  readonly waiting: AbortController
  /** aborted once the client is gone for certain */
  readonly gone: AbortSignal
  /** Whether the client has closed its side: it may still read, or it may be gone, and no network tells which. */
  mayBeGone(): boolean
  /** Stops looking. */
  end(): void
}

export function watchPresence({ raw: { socket } }: FastifyRequest, { raw }: FastifyReply): ClientPresence {
  const waiting = new AbortController()
  const gone = new AbortController()
  const onEnd = () => waiting.abort()
  const onClose = () => {
    gone.abort()
    waiting.abort()
  }
  // Not the request's own 'close', which comes as soon as its body has been read.
  raw.once('close', onClose)
  socket.once('end', onEnd)
  if (raw.destroyed) onClose()
  else if (socket.readableEnded) onEnd()
  return {
    waiting,
    gone: gone.signal,
    mayBeGone: () => socket.readableEnded && !gone.signal.aborted,
    end: () => void socket.removeListener('end', onEnd),
  }
}

/**
 * Answers a client that may be gone, in two pieces: a closed connection rejects the first, and then the second fails.
 *
 * @param body JSON text
 * @returns whether the client received the answer
 */
export async function sendTentatively(reply: FastifyReply, body: string): Promise<boolean> {
  const { raw } = reply
  reply.hijack()
  raw.writeHead(200, {
    ...(reply.getHeaders() as Record<string, string>),
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  })
  raw.flushHeaders()
  await sleep(PROBE_MS, new AbortController().signal)
  if (raw.destroyed) return false
  return new Promise((resolve) => {
    raw.once('close', () => resolve(false))
    raw.write(body, (error) => resolve(error === undefined || error === null))
    raw.end()
  })
}
