import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { isApiPath, toPlainBody, toProblem } from '../errors/error-reply.ts'
import type { ErrorReply } from '../errors/http-error.ts'
import { SECURITY_LINES } from './security-headers.ts'

const WHAT: Readonly<Record<string, readonly [status: number, reason: string, detail: string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large', 'headers: are too large'],
  HPE_INVALID_TRANSFER_ENCODING: [501, 'Not Implemented', 'transfer-encoding: must be chunked'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout', 'the request took too long to arrive'],
}
const NOT_HTTP = [400, 'Bad Request', 'the request is not valid HTTP'] as const

/** The target of what begins like a request. */
const TARGET = /^[A-Z]+ (\S+) HTTP\//
const LONGEST_LINE = 2_048

/** What Node's parser fails with. */
export type ParseError = NodeJS.ErrnoException & { readonly rawPacket?: unknown }

/**
 * Answers bytes that are not a valid request: there is no route, no hook and no reply object yet.
 *
 * @param answer how far the answer to the malformed request is, if it has begun: a second one would be written into it,
 *   or be read as the answer to the next request
 */
export function answerMalformed(error: ParseError, socket: Socket, answer?: 'begun' | 'ended'): void {
  if (answer === 'begun') socket.destroy()
  if (answer === 'ended') socket.end()
  if (!socket.writable) return
  const [status, reason, detail] = WHAT[error.code ?? ''] ?? NOT_HTTP
  const [type, body] = inItsForm(targetOf(error), { status, detail })
  socket.end(
    `HTTP/1.1 ${status} ${reason}\r\n${SECURITY_LINES}content-type: ${type}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  )
}

function targetOf({ rawPacket }: ParseError): string {
  const begin = Buffer.isBuffer(rawPacket) ? rawPacket.toString('latin1', 0, LONGEST_LINE) : ''
  return TARGET.exec(begin)?.[1] ?? ''
}

/** Node answers an expectation other than 100-continue by itself, with nothing. */
export function answerExpectations(server: Server): void {
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    const detail = `expect: ${request.headers.expect} is not supported`
    const [type, body] = inItsForm(request.url ?? '', { status: 417, detail })
    response.writeHead(417, { 'content-type': type, connection: 'close' })
    response.end(body)
  })
}

const inItsForm = (target: string, failure: ErrorReply): [type: string, body: string] =>
  isApiPath(target)
    ? ['application/problem+json; charset=utf-8', JSON.stringify(toProblem(failure))]
    : ['application/json; charset=utf-8', JSON.stringify(toPlainBody(failure))]
