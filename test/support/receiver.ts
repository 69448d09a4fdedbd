import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** A request that a receiver got. */
export interface Received {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  /** names and values alternately, as they were sent */
  readonly rawHeaders: readonly string[]
  readonly body: string
  /** when its last byte arrived, performance.now() */
  readonly at: number
}

/** Answers a request, or leaves it open. @param socket for bytes that are not valid HTTP */
export type Answer = (response: ServerResponse, request: Received, socket: Socket) => void

export interface Receiver {
  /** such as http://127.0.0.1:12345 */
  readonly url: string
  readonly port: number
  /** in the order of arrival of their last bytes */
  readonly requests: readonly Received[]
  /** every connection since the start */
  readonly connections: readonly Socket[]
}

/** An HTTP server on 127.0.0.1 that answers as the test says. It closes with the test. */
export async function openReceiver(answer: Answer): Promise<Receiver> {
  const requests: Received[] = []
  const connections: Socket[] = []
  const server = createServer(async (incoming, response) => {
    const { method = '', url: path = '', headers, rawHeaders, socket } = incoming
    const chunks: Buffer[] = []
    try {
      for await (const chunk of incoming) chunks.push(chunk)
    } catch {
      return // cancelled by the sender
    }
    const body = Buffer.concat(chunks).toString()
    const request = { method, path, headers, rawHeaders, body, at: performance.now() }
    requests.push(request)
    answer(response, request, socket)
  })
  server.on('connection', (socket) => {
    connections.push(socket)
    socket.on('error', () => undefined) // reset by the sender
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(async () => {
    const closed = new Promise((resolve) => server.close(resolve))
    server.closeAllConnections()
    await closed
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, port, requests, connections }
}

/** An answer with a status, and an empty body unless given. */
export const answerWith =
  (status: number, headers: Readonly<Record<string, string>> = {}, body = ''): Answer =>
  (response) =>
    void response.writeHead(status, headers).end(body)

/** Never answers. */
export const hang: Answer = () => undefined
