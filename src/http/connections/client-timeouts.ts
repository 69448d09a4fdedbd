import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as delay, setImmediate as immediate } from 'node:timers/promises'
import { HttpError } from '../errors/http-error.ts'

/** How long clients may take. */
export interface ClientTimes {
  /** for so long a client that owes bytes may send none, ms; and its headers have come by then */
  readonly silenceMs: number
  /** minimum rate of a body, bytes per second on average */
  readonly bytesPerSecond: number
  /** how old a body is before its average counts, ms */
  readonly averageFromMs: number
  /** for so long a connection is kept that this side has closed and its client has not, ms */
  readonly lingerMs: number
  /** how often to look, ms */
  readonly everyMs: number
}

export const CLIENT_TIMES: ClientTimes = {
  silenceMs: 60_000,
  bytesPerSecond: 1_024,
  averageFromMs: 30_000,
  lingerMs: 5_000,
  everyMs: 1_000,
}

/** Set on a request by the reader of its body; called at most once, when the rest of the body is too late. */
export const onTooSlow = Symbol('onTooSlow')

/** A request whose body is being read. */
export interface BodySource extends IncomingMessage {
  [onTooSlow]?: ((refusal: HttpError) => void) | undefined
}

/** A client that has not heard yet that a server closes may just have sent another request. */
const IN_TRANSIT_MS = 50

const TOO_SLOW = { status: 408, detail: 'the request took too long to arrive' }

interface Connection {
  readonly socket: Socket
  /** the last one that began on it */
  request: BodySource | undefined
  response: ServerResponse | undefined
  /** of the connection when that request began */
  bytesBefore: number
  /** of the connection at the last look */
  bytesRead: number
  unresponsiveMs: number
  bodyMs: number
  closedMs: number
}

/** The connections of a server. Clients must not hold them idle. */
export interface Connections {
  /** How far the answer is to a request that is incomplete or being answered; undefined before its first byte. */
  answerOn(socket: Socket): 'begun' | 'ended' | undefined
  /**
   * Has every answer that is not yet on its way say that its connection closes, and ends those that never asked.
   *
   * @returns once requests that were on their way over idle connections have come, which are to be closed only then
   */
  close(): Promise<void>
}

/**
 * Ends connections whose client does not send what it owes, which Node cannot: its limit for a whole request would end
 * streams too. Headers that do not come, and connections that say nothing, are left to Node's own limit.
 *
 * Time is counted in looks rather than by a clock: a process that was suspended has not seen what its clients sent.
 */
export function watchConnections(server: Server, times: ClientTimes): Connections {
  const { everyMs, lingerMs } = times
  const connections = new Map<Socket, Connection>()
  let timer: NodeJS.Timeout | undefined

  server.on('connection', (socket: Socket) => {
    connections.set(socket, {
      ...{ socket, request: undefined, response: undefined },
      ...{ bytesBefore: 0, bytesRead: 0, unresponsiveMs: 0, bodyMs: 0, closedMs: 0 },
    })
    socket.once('close', () => {
      connections.delete(socket)
      if (connections.size > 0) return
      clearInterval(timer)
      timer = undefined
    })
    timer ??= setInterval(check, everyMs).unref()
  })

  // Before the request is handled, as it may be answered at once.
  server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
    const connection = connections.get(request.socket)
    if (connection === undefined) return
    connection.request = request
    connection.response = response
    connection.bytesBefore = request.socket.bytesRead
    connection.bodyMs = 0
    connection.unresponsiveMs = 0
  })

  function check(): void {
    for (const connection of connections.values()) {
      const { socket, request, response } = connection
      if (socket.writableFinished) {
        connection.closedMs += everyMs
        if (connection.closedMs >= lingerMs) socket.destroy()
      } else if (request?.complete === false) {
        if (isTooSlow(connection, times)) end(connection)
      } else if (response?.writableFinished === true) {
        // Neither is kept for as long as the connection has nothing to do.
        connection.request = undefined
        connection.response = undefined
      }
    }
  }

  return {
    answerOn(socket) {
      const { request, response } = connections.get(socket) ?? {}
      if (response?.headersSent !== true) return undefined
      if (!response.writableEnded) return 'begun'
      return request?.complete === false ? 'ended' : undefined
    },
    async close() {
      let connectionsWithRequests = false
      for (const { socket, response } of connections.values()) {
        if (socket.bytesRead === 0) socket.destroy()
        else connectionsWithRequests = true
        if (response?.headersSent === false) response.shouldKeepAlive = false
      }
      if (!connectionsWithRequests) return
      await delay(IN_TRANSIT_MS)
      await immediate() // what has come is read before
    },
  }
}

/** Whether the rest of a body has kept this server waiting for too long since the last check. */
function isTooSlow(
  connection: Connection,
  { silenceMs, bytesPerSecond, averageFromMs, everyMs }: ClientTimes,
) {
  const { socket, request, response, bytesBefore } = connection
  // What has come and is not yet read is this server's own delay.
  const isSilent = socket.bytesRead === connection.bytesRead && request?.readableLength === 0
  connection.bytesRead = socket.bytesRead
  connection.unresponsiveMs = isSilent ? connection.unresponsiveMs + everyMs : 0
  if (connection.unresponsiveMs >= silenceMs) return true
  // An answer that is sent while the request is still read is a stream, which may take its time.
  if (response?.headersSent === true && !response.writableEnded) return false
  connection.bodyMs += everyMs
  if (connection.bodyMs < averageFromMs) return false
  return socket.bytesRead - bytesBefore < (connection.bodyMs / 1_000) * bytesPerSecond
}

/** With the error of the body's reader if there is one, else without an answer. */
function end({ socket, request }: Connection): void {
  const tell = request?.[onTooSlow]
  if (request === undefined || tell === undefined) return void socket.destroy()
  request[onTooSlow] = undefined
  tell(new HttpError(TOO_SLOW))
}
