import type { Delivery, Outcome, Sender } from '../destinations/delivery.ts'
import type { Metrics } from '../observability/metrics.ts'
import { Cancellation } from '../runtime/cancel-signal.ts'
import type { LockKeeper } from './lock-keeper.ts'
import type { SettleQueue } from './settle-queue.ts'
import type { Slots } from './slots.ts'

/** Delivers messages one by one, extends their locks meanwhile, and settles each. */
export interface Dispatcher {
  /**
   * Starts a delivery immediately. It holds a slot of its host until it has released its connection.
   *
   * @param startBy monotonic ms; the delivery must not begin later
   * @param lockEndsAt monotonic ms at which the lock ends unless it is extended
   */
  dispatch(delivery: Delivery, startBy: number, lockEndsAt: number): void
  /** When the oldest delivery in flight began, of a lane or of all, monotonic ms; undefined for none. */
  oldestSince(lane?: string): number | undefined
  /** Resolves when no delivery is in flight. */
  idle(): Promise<void>
}

interface InFlight {
  readonly lane: string
  /** monotonic ms */
  readonly since: number
  readonly ended: Promise<void>
}

export interface DispatcherDeps {
  readonly sender: Sender
  readonly slots: Pick<Slots, 'take' | 'free'>
  readonly lockKeeper: LockKeeper
  readonly settleQueue: Pick<SettleQueue, 'add'>
  readonly metrics: Pick<Metrics, 'deliveryStarted'>
}

/** @param signal aborted when the grace is over: deliveries in flight are cancelled and released */
export function createDispatcher(deps: DispatcherDeps, signal: AbortSignal): Dispatcher {
  const { sender, slots, lockKeeper, settleQueue, metrics } = deps
  /** in the order in which they began */
  const inFlight = new Map<Cancellation, InFlight>()
  signal.addEventListener('abort', () => {
    for (const cancellation of inFlight.keys()) cancellation.abort()
  })

  async function deliver(
    delivery: Delivery,
    startBy: number,
    lockEndsAt: number,
    cancellation: Cancellation,
  ): Promise<void> {
    const { lane } = delivery
    const lock = lockKeeper.keep(delivery, lockEndsAt)
    lock.lost.addEventListener('abort', () => cancellation.abort())
    slots.take(lane)
    let outcome: Outcome = { kind: 'returned' }
    if (performance.now() < startBy && !signal.aborted) {
      metrics.deliveryStarted(
        delivery.destination.type,
        delivery.lateMs + delivery.dueAt - delivery.attemptDueAt,
        lane,
      )
      // A response may continue after its outcome is known: it keeps its connection, and so its slot.
      outcome = await sender.send(delivery, cancellation, () => slots.free(lane))
    } else slots.free(lane)
    // If the lock was lost, the message may belong to another server, which settles it.
    if (!lock.lost.aborted) await settleQueue.add([{ delivery, outcome }], lock.endsAt)
    lock.release()
    inFlight.delete(cancellation)
  }

  return {
    dispatch(delivery, startBy, lockEndsAt) {
      const cancellation = new Cancellation()
      inFlight.set(cancellation, {
        lane: delivery.lane,
        since: performance.now(),
        ended: deliver(delivery, startBy, lockEndsAt, cancellation),
      })
    },
    oldestSince(lane) {
      for (const each of inFlight.values()) {
        if (lane === undefined || each.lane === lane) return each.since
      }
      return undefined
    },
    async idle() {
      await Promise.all([...inFlight.values()].map(({ ended }) => ended))
    },
  }
}
