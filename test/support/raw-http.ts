import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'
import { until } from './until.ts'

/** A connection on which a test writes bytes of its own. */
export interface RawConnection {
  readonly socket: Socket
  /** all that came so far, a character a byte */
  received(): string
  /** Resolves once the other side has closed it, in whatever way. @returns all that came */
  closed(): Promise<string>
}

/** Connects to a server's address; the connection ends with the test. It may be half-closed. */
export async function connectRaw(url: string): Promise<RawConnection> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
  onTestFinished(() => void socket.destroy())
  let text = ''
  let isClosed = false
  socket.setEncoding('latin1').on('data', (piece) => {
    text += piece
  })
  // It may be reset, which is an end like any other here.
  socket.on('error', () => undefined)
  for (const end of ['end', 'close']) {
    socket.on(end, () => {
      isClosed = true
    })
  }
  await once(socket, 'connect')
  return {
    socket,
    received: () => text,
    async closed() {
      await until('the connection is closed', () => isClosed)
      socket.destroy()
      return text
    },
  }
}

/** The bytes of a POST. */
export const rawPost = (
  path: string,
  body: string | Buffer,
  headers: Readonly<Record<string, string>> = {},
) => {
  const all = {
    host: 'localhost',
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    ...headers,
  }
  const head = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.concat([Buffer.from(`POST ${path} HTTP/1.1\r\n${head.join('')}\r\n`), Buffer.from(body)])
}
