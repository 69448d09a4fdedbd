import type { Delivery, Outcome, Sender } from '../destinations/delivery.ts'
import type { Metrics } from '../observability/metrics.ts'
import { Cancellation } from '../runtime/cancel-signal.ts'
import type { LockKeeper } from './lock-keeper.ts'
import type { SettleQueue } from './settle-queue.ts'
import type { Slots } from './slots.ts'

/** Delivers messages one by one, each for as long as it takes under a lock that is kept, and has each settled. */
export interface Dispatcher {
  /**
   * Starts a delivery at once; it holds a slot of its host until nothing of it is left.
   *
   * @param startBy monotonic ms after which it must not begin any more
   * @param lockEndsAt monotonic ms at which its lock ends unless extended
   */
  dispatch(delivery: Delivery, startBy: number, lockEndsAt: number): void
  /** Resolves when none is under way. */
  idle(): Promise<void>
}

export interface DispatcherDeps {
  readonly sender: Sender
  readonly slots: Pick<Slots, 'take' | 'free'>
  readonly lockKeeper: LockKeeper
  readonly settleQueue: Pick<SettleQueue, 'add'>
  readonly metrics: Pick<Metrics, 'deliveryStarted'>
}

/** @param signal aborted when the service ends now: what is under way is broken off and handed back */
export function createDispatcher(deps: DispatcherDeps, signal: AbortSignal): Dispatcher {
  const { sender, slots, lockKeeper, settleQueue, metrics } = deps
  const underWay = new Map<Cancellation, Promise<void>>()
  signal.addEventListener('abort', () => {
    for (const cancellation of underWay.keys()) cancellation.abort()
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
      )
      // A response that goes on after its outcome is known still has its connection, and so its slot.
      outcome = await sender.send(delivery, cancellation, () => slots.free(lane))
    } else slots.free(lane)
    // Whose lock was lost may be another server's by now: it is that server's to settle.
    if (!lock.lost.aborted) await settleQueue.add([{ delivery, outcome }], lock.endsAt)
    lock.release()
    underWay.delete(cancellation)
  }

  return {
    dispatch(delivery, startBy, lockEndsAt) {
      const cancellation = new Cancellation()
      underWay.set(cancellation, deliver(delivery, startBy, lockEndsAt, cancellation))
    },
    async idle() {
      await Promise.all(underWay.values())
    },
  }
}
