import { type SettleDeps, type Settlement, settle } from './settle.ts'

/** Calls for one shard under way at a time; what ends meanwhile shares the next. */
const CALLS_IN_FLIGHT = 2
const CALL_SETTLEMENTS = 500

interface Waiting extends Settlement {
  readonly lockEndsAt: () => number
  readonly done: () => void
}

/** Settles deliveries that end one by one, in batches. */
export interface SettleQueue {
  /**
   * @param lockEndsAt monotonic ms at which the lock ends
   * @returns when it is settled, or cannot be; never rejects
   */
  add(settlement: Settlement, lockEndsAt: () => number): Promise<void>
}

/** @param signal aborted when the service ends now @see settle */
export function createSettleQueue(deps: SettleDeps, signal: AbortSignal): SettleQueue {
  const waiting = new Map<number, Waiting[]>()
  const inFlight = new Map<number, number>()

  async function flush(shard: number): Promise<void> {
    const calls = inFlight.get(shard) ?? 0
    const batch = waiting.get(shard)?.splice(0, CALL_SETTLEMENTS) ?? []
    if (batch.length === 0) return
    inFlight.set(shard, calls + 1)
    // While any of their locks lasts it makes sense to go on: each is proved by itself.
    const lockEndsAt = () => Math.max(...batch.map((each) => each.lockEndsAt()))
    await settle(deps, shard, batch, lockEndsAt, signal)
    inFlight.set(shard, (inFlight.get(shard) ?? 1) - 1)
    for (const { done } of batch) done()
    void flush(shard)
  }

  return {
    add(settlement, lockEndsAt) {
      return new Promise((done) => {
        const { shard } = settlement.delivery
        const others = waiting.get(shard) ?? []
        waiting.set(shard, others)
        others.push({ ...settlement, lockEndsAt, done })
        if (others.length > 1) return
        // What else ends in this turn of the event loop goes along.
        setImmediate(() => {
          if ((inFlight.get(shard) ?? 0) < CALLS_IN_FLIGHT) void flush(shard)
        })
      })
    },
  }
}
