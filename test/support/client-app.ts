import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { beforeEach, onTestFinished } from 'vitest'
import type { Leases } from '../../src/leases/leases.ts'
import type { Scheduler } from '../../src/messages/scheduler.ts'
import { httpApp } from './http-app.ts'
import { connectRaw, type RawConnection } from './raw-http.ts'
import { until } from './until.ts'

/** An app that listens, for tests of what clients do with their connections. */
export interface ClientApp {
  readonly app: FastifyInstance
  readonly url: string
  /** the routes answer only after this */
  ready: Promise<void>
  /** Connects. @returns the connection, the server's side of it, and how to wait until the server has read all */
  open(): Promise<Opened>
}

interface Opened extends RawConnection {
  readonly accept: Socket
  send(bytes: string | Buffer): Promise<void>
}

/** Sets it up before every test of the current file. */
export function useClientApp(): () => ClientApp {
  let world: ClientApp | undefined
  beforeEach(async () => {
    const schedule = async () => {
      await current.ready
      return { id: '~1', duplicate: false, dueAt: 0, createdAt: 0 }
    }
    const claim = async (_queue: string, { waitMs }: { waitMs: number }, signal: AbortSignal) => {
      if (waitMs > 0 && !signal.aborted) await once(signal, 'abort')
      return []
    }
    const app = await httpApp({
      scheduler: { schedule, cancel: () => current.ready } as unknown as Scheduler,
      leases: { claim } as unknown as Leases,
    })
    onTestFinished(() => app.close()) // after the connections of the test
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    const current: ClientApp = { app, url, ready: Promise.resolve(), open: () => open(app, url) }
    world = current
  })
  return () => {
    if (world === undefined) throw new Error('the app is there only inside a test')
    return world
  }
}

async function open(app: FastifyInstance, url: string): Promise<Opened> {
  const accepted = once(app.server, 'connection') as Promise<[Socket]>
  const connection = await connectRaw(url)
  const [accept] = await accepted
  let sent = 0
  return {
    ...connection,
    accept,
    async send(bytes: string | Buffer) {
      sent += Buffer.byteLength(bytes)
      connection.socket.write(bytes)
      await until('it is read', () => accept.bytesRead === sent)
    },
  }
}
