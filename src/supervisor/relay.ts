import type { Stdout } from '../destinations/console/stdout.ts'
import { type FromServer, type ToServer, toReason } from './ipc-messages.ts'
import { fromMachineMs } from './machine-clock.ts'

type Write = Extract<FromServer, { type: 'write' }>

/** The primary's end of one server's standard output. */
export interface Relay {
  write(message: Write): void
  withdraw(id: number): void
  /**
   * The server is gone: of what it handed in, no delivery begins any more, for another server will make it. What it
   * had to say for the log is still written.
   */
  end(): void
}

/** @param answer tells the server how a write of it ended */
export function createRelay(stdout: Stdout, answer: (message: ToServer) => void): Relay {
  const deliveries = new Map<number, AbortController>()
  let ended = false

  return {
    write({ id, text, startBy }) {
      // Only deliveries have a time after which they must not begin.
      const isDelivery = Number.isFinite(startBy)
      if (isDelivery && ended) return
      const withdrawal = new AbortController()
      if (isDelivery) deliveries.set(id, withdrawal)
      void stdout.write(text, fromMachineMs(startBy), withdrawal.signal).then((result) => {
        deliveries.delete(id)
        answer({ type: 'settled', id, result: result instanceof Error ? toReason(result) : result })
      })
    },
    withdraw: (id) => deliveries.get(id)?.abort(),
    end() {
      ended = true
      for (const withdrawal of deliveries.values()) withdrawal.abort()
    },
  }
}
