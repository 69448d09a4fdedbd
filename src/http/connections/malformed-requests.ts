import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { isApiPath, toPlainBody, toProblem } from '../errors/error-reply.ts'
import { SECURITY_LINES } from './security-headers.ts'

const WHAT: Readonly<Record<string, readonly [status: string, detail: string]>> = {
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'headers: are too large'],
  HPE_INVALID_TRANSFER_ENCODING: ['501 Not Implemented', 'transfer-encoding: must be chunked'],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'the request took too long to arrive'],
}
const NOT_HTTP = ['400 Bad Request', 'the request is not valid HTTP'] as const

/**
 * Answers bytes that are not a valid request: there is no route, no hook and no reply object yet.
 *
 * @param answer how far the answer to the malformed request is, if it has begun: a second one would be written into it,
 *   or be read as the answer to the next request
 */
export function answerMalformed(error: Error, socket: Socket, answer?: 'begun' | 'ended'): void {
  if (answer === 'begun') socket.destroy()
  if (answer === 'ended') socket.end()
  if (!socket.writable) return
  const [status, detail] = WHAT[(error as NodeJS.ErrnoException).code ?? ''] ?? NOT_HTTP
  const body = JSON.stringify(toPlainBody({ status: 400, detail }))
  socket.end(
    `HTTP/1.1 ${status}\r\n${SECURITY_LINES}content-type: application/json; charset=utf-8\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  )
}

/** Node answers an expectation other than 100-continue by itself, with nothing. */
export function answerExpectations(server: Server): void {
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    const errorReply = { status: 417, detail: `expect: ${request.headers.expect} is not supported` }
    const [type, body] = isApiPath(request.url ?? '')
      ? ['application/problem+json', toProblem(errorReply)]
      : ['application/json', toPlainBody(errorReply)]
    response.writeHead(417, { 'content-type': `${type}; charset=utf-8`, connection: 'close' })
    response.end(JSON.stringify(body))
  })
}
