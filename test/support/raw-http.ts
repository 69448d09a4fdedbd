import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'
import { until } from './until.ts'

/** A connection to which a test writes bytes. */
export interface RawConnection {
  readonly socket: Socket
  /** the bytes received so far, one character each */
  received(): string
  /** Resolves once the other side has closed or reset it. @returns all bytes received */
  closed(): Promise<string>
}

/** Connects to a server. The connection may be half-closed, and ends with the test. */
export async function connectRaw(url: string): Promise<RawConnection> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
  onTestFinished(() => void socket.destroy())
  let text = ''
  let isClosed = false
  socket.setEncoding('latin1').on('data', (piece) => {
    text += piece
  })
  // A reset counts as an end.
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

/** @returns the bytes of a POST request */
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
