import { addTotals, type Measured } from '../observability/prometheus.ts'
import { sleep } from '../runtime/sleep.ts'

/** A server that is asked and has more to do than it can shall not hold up the answer for the others. */
const MEASURED_WITHIN_MS = 500

/** Brings together what all servers have measured, those that have died included, so that no total ever shrinks. */
export interface MetricsAggregator {
  /** A server that can be asked. @param ask asks it for what it has measured, under a number */
  join(server: number, ask: (id: number) => void): void
  /** A server's answer. */
  answer(server: number, id: number, measured: Measured): void
  /** It is gone; its totals, as last told, stay. */
  leave(server: number): void
  /** Never rejects. If a server does not answer in time, its last values are used. */
  gather(): Promise<readonly Measured[]>
}

interface Member {
  /** undefined once it is gone */
  ask: ((id: number) => void) | undefined
  last: Measured
}

export function createMetricsAggregator(withinMs = MEASURED_WITHIN_MS): MetricsAggregator {
  const members = new Map<number, Member>()
  const waiting = new Map<number, (server: number) => void>()
  let departed: Measured = []
  let allKept = Promise.resolve()
  let lastId = 0

  return {
    join: (server, ask) => void members.set(server, { ask, last: [] }),
    answer(server, id, measured) {
      const member = members.get(server)
      if (member === undefined) return
      member.last = measured
      waiting.get(id)?.(server)
    },
    leave(server) {
      const member = members.get(server)
      if (member === undefined) return
      member.ask = undefined
      for (const heard of waiting.values()) heard(server)
      // One after another, and counted as a member until then, so that each collection has it exactly once.
      allKept = allKept.then(async () => {
        departed = await addTotals(departed, member.last)
        members.delete(server)
      })
    },
    async gather() {
      lastId += 1
      const id = lastId
      const present = [...members].flatMap(([server, { ask }]) =>
        ask === undefined ? [] : [{ server, ask }],
      )
      const silent = new Set(present.map(({ server }) => server))
      const allAnswered = new AbortController()
      waiting.set(id, (server) => {
        silent.delete(server)
        if (silent.size === 0) allAnswered.abort()
      })
      for (const { ask } of present) ask(id)
      if (silent.size > 0) await sleep(withinMs, allAnswered.signal)
      waiting.delete(id)
      return [departed, ...[...members.values()].map(({ last }) => last)]
    },
  }
}
