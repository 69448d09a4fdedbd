import cluster from 'node:cluster'
import type { Stdout } from '../destinations/console/stdout.ts'
import { type FromServer, type Start, type ToServer, toError } from './ipc-messages.ts'
import type { MetricsAggregator } from './metrics-aggregator.ts'
import { createRelay } from './relay.ts'

export interface ForkOptions {
  readonly start: Start
  readonly stdout: Stdout
  readonly aggregator: MetricsAggregator
  readonly onListening: (url: string) => void
  readonly onFatal: (error: Error) => void
  readonly onDisconnected: () => void
}

/** One server in a process of its own, as the primary sees it. */
export interface ForkedServer {
  readonly pid: number | undefined
  /** @returns how it ended, in words, and why it could not start where that is so */
  readonly ended: Promise<{ readonly endedWith: string; readonly startError: Error | undefined }>
  /** Asks it to stop in order. Safe at any time. */
  stop(graceMs: number): void
  kill(): void
}

/** Forks a server, starts it, and answers what it asks until it ends. */
export function forkServer(options: ForkOptions): ForkedServer {
  const { start, stdout, aggregator, onListening, onFatal, onDisconnected } = options
  const worker = cluster.fork()
  let startError: Error | undefined
  let stopWithin: number | undefined

  const send = (message: ToServer) => {
    // What cannot be sent any more is of no use to a process that is gone.
    if (worker.isConnected()) worker.process.send(message, undefined, undefined, () => undefined)
  }
  const relay = createRelay(stdout, send)

  const take = (message: FromServer): void => {
    switch (message.type) {
      case 'hello':
        send(stopWithin === undefined ? start : { type: 'stop', graceMs: stopWithin })
        break
      case 'listening':
        aggregator.join(worker.id, (id) => send({ type: 'measure', id }))
        onListening(message.url)
        break
      case 'start failed':
        startError = toError(message.reason)
        break
      case 'fatal':
        onFatal(toError(message.reason))
        break
      case 'redis disconnected':
        onDisconnected()
        break
      case 'write':
        relay.write(message)
        break
      case 'withdraw':
        relay.withdraw(message.id)
        break
      case 'measured':
        aggregator.answer(worker.id, message.id, message.measured)
        break
      case 'gather':
        void aggregator.gather().then((measured) => send({ type: 'gathered', id: message.id, measured }))
        break
      default:
        message satisfies never
    }
  }
  worker.on('message', take)

  worker.process.once('exit', () => {
    relay.end()
    aggregator.leave(worker.id)
  })
  const ended = new Promise<string>((resolve) => {
    // After its exit, and after the last of what it said has been read.
    worker.process.once('close', (code, signal) => resolve(signal ?? `exit code ${code}`))
    // With a process id the error is one of sending or of a signal, and its end is still to come.
    worker.on('error', (error: unknown) => {
      if (worker.process.pid === undefined) resolve(String(error))
    })
  }).then((endedWith) => ({ endedWith, startError }))

  return {
    pid: worker.process.pid,
    ended,
    stop(graceMs) {
      stopWithin ??= graceMs
      send({ type: 'stop', graceMs })
    },
    kill: () => void worker.process.kill('SIGKILL'),
  }
}
