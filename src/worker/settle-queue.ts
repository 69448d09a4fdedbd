import { type SettleDeps, type Settlement, settle } from './settle.ts'

/** How long a few settlements wait for others, and for the next claim of the shard. */
const HOLD_MS = 3
/** More settlements than this are sent immediately: they are worth a write to disk of their own. */
const HELD_AT_MOST = 50
/** Calls in flight per shard; settlements that come meanwhile share the next call. */
const CALLS_IN_FLIGHT = 2
const CALL_SETTLEMENTS = 500

interface Batch {
  readonly settlements: readonly Settlement[]
  readonly lockEndsAt: () => number
  readonly onSettled: () => void
}

/** The settlements of one shard. */
interface ShardQueue {
  batches: Batch[]
  /** settlements in all batches */
  count: number
  calls: number
  /** whether the hold time is over while all calls are in flight */
  isOverdue: boolean
  timer?: NodeJS.Timeout
}

/**
 * Settles deliveries in as few calls as possible: those that end within a few ms share one. Held settlements follow the
 * next claim of their shard. Sent before it, Redis would write to disk first, and the claimed messages would be late.
 */
export class SettleQueue {
  readonly #deps: SettleDeps
  readonly #signal: AbortSignal
  readonly #shards = new Map<number, ShardQueue>()

  /** @param signal aborted when the grace is over @see settle */
  constructor(deps: SettleDeps, signal: AbortSignal) {
    this.#deps = deps
    this.#signal = signal
  }

  /**
   * @param settlements all of one shard
   * @param lockEndsAt monotonic ms at which their locks end
   * @returns once they are settled, or cannot be; never rejects
   */
  add(settlements: readonly Settlement[], lockEndsAt: () => number): Promise<void> {
    const shard = settlements[0]?.delivery.shard
    if (shard === undefined) return Promise.resolve()
    const queue = this.#queueOf(shard)
    return new Promise((onSettled) => {
      queue.batches.push({ settlements, lockEndsAt, onSettled })
      queue.count += settlements.length
      if (queue.count > HELD_AT_MOST) this.#flush(shard, queue)
      else queue.timer ??= setTimeout(() => this.#flush(shard, queue), HOLD_MS)
    })
  }

  /** A claim of the shard was just sent: held settlements follow it. */
  claimSent(shard: number): void {
    const queue = this.#shards.get(shard)
    if (queue !== undefined && queue.count > 0) this.#flush(shard, queue)
  }

  #queueOf(shard: number): ShardQueue {
    let queue = this.#shards.get(shard)
    if (queue === undefined) {
      queue = { batches: [], count: 0, calls: 0, isOverdue: false }
      this.#shards.set(shard, queue)
    }
    return queue
  }

  #flush(shard: number, queue: ShardQueue): void {
    clearTimeout(queue.timer)
    delete queue.timer
    while (queue.count > 0 && queue.calls < CALLS_IN_FLIGHT)
      void this.#settle(shard, queue, takeBatches(queue))
    queue.isOverdue = queue.count > 0
  }

  async #settle(shard: number, queue: ShardQueue, batches: readonly Batch[]): Promise<void> {
    queue.calls += 1
    const settlements = batches.flatMap((batch) => batch.settlements)
    // Repeats as long as any of the locks lasts: ownership is proved for each message.
    const lockEndsAt = () => Math.max(...batches.map((batch) => batch.lockEndsAt()))
    await settle(this.#deps, shard, settlements, lockEndsAt, this.#signal)
    queue.calls -= 1
    for (const { onSettled } of batches) onSettled()
    if (queue.isOverdue) this.#flush(shard, queue)
  }
}

/** Takes whole batches, at most CALL_SETTLEMENTS in total, unless the first batch has more. */
function takeBatches(queue: ShardQueue): Batch[] {
  let count = 0
  let taken = 0
  for (const { settlements } of queue.batches) {
    if (taken > 0 && count + settlements.length > CALL_SETTLEMENTS) break
    count += settlements.length
    taken += 1
  }
  queue.count -= count
  return queue.batches.splice(0, taken)
}
