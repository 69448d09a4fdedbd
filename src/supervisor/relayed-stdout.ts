import type { Stdout, WriteResult } from '../destinations/console/stdout.ts'
import { type FromServer, type ToServer, toError } from './ipc-messages.ts'
import { toMachineMs } from './machine-clock.ts'

type Settled = Extract<ToServer, { type: 'settled' }>

/** A server's standard output: whole chunks go to the primary, which alone writes. */
export interface RelayedStdout extends Stdout {
  /** Takes the primary's answer to a write. */
  settled(answer: Settled): void
}

/** @param send hands a message to the primary, in order */
export function createRelayedStdout(send: (message: FromServer) => void): RelayedStdout {
  const inFlight = new Map<number, (result: WriteResult) => void>()
  let waiters: (() => void)[] = []
  let lastId = 0

  return {
    write(text, startBy = Number.POSITIVE_INFINITY, signal) {
      if (signal?.aborted) return Promise.resolve('not begun')
      lastId += 1
      const id = lastId
      return new Promise((resolve) => {
        const withdraw = () => send({ type: 'withdraw', id })
        signal?.addEventListener('abort', withdraw)
        inFlight.set(id, (result) => {
          signal?.removeEventListener('abort', withdraw)
          resolve(result)
        })
        send({ type: 'write', id, text, startBy: toMachineMs(startBy) })
      })
    },
    settled({ id, result }) {
      inFlight.get(id)?.(typeof result === 'string' ? result : toError(result))
      inFlight.delete(id)
      if (inFlight.size > 0) return
      for (const resolve of waiters) resolve()
      waiters = []
    },
    async drain() {
      if (inFlight.size > 0) await new Promise<void>((resolve) => waiters.push(resolve))
    },
  }
}
