import type { AttemptReport, Destination } from '../domain/message.ts'
import type { CancelSignal } from '../runtime/cancel-signal.ts'

/** One message on its way out. */
export interface Delivery {
  readonly id: string
  readonly shard: number
  /** the token of the claim that holds it; settling proves it */
  readonly token: string
  /** grows with every claim of a message: a fencing number */
  readonly claim: number
  /** when the client wanted it delivered, epoch ms */
  readonly dueAt: number
  /** when this attempt was due, epoch ms: `dueAt`, or the time of a retry */
  readonly attemptDueAt: number
  /** how late this delivery starts after `dueAt`, ms by Redis's clock */
  readonly lateMs: number
  /** 1 for the first delivery, one more for each failure or recovery before */
  readonly attempt: number
  /** JSON text */
  readonly payload: string
  readonly destination: Destination
  readonly tags?: readonly string[] | undefined
  /** where it waited, and whose slot it takes; "" for the main set */
  readonly lane: string
}

/**
 * How one delivery ended.
 *
 * - delivered  the destination has the message
 * - failed     the destination did not take it: a failure; due again later, or a dead letter
 * - rejected   the destination will never take it: a failure; a dead letter at once
 * - returned   not tried, or cancelled: not a failure; due again at once
 */
export type Outcome =
  | { readonly kind: 'delivered'; readonly durationMs?: number; readonly status?: number }
  | {
      readonly kind: 'failed'
      /** a short code, such as `status 503`, `timeout` or `network` */
      readonly reason: string
      /** the destination asked not to be tried again before, ms from now */
      readonly retryAfterMs?: number
      readonly report: AttemptReport
    }
  | { readonly kind: 'rejected'; readonly reason: string; readonly report: AttemptReport }
  | { readonly kind: 'returned' }

/** Where a batch goes that is delivered as one. */
export interface BatchSender {
  /**
   * Delivers a batch. Never rejects.
   *
   * @param startBy monotonic ms (`performance.now()`); a delivery not begun by then must not begin, because
   *   its lock may belong to another server by the time it ends
   * @param signal aborted when the service must end now; what has not begun is returned
   * @returns one outcome per delivery, in order
   */
  deliver(batch: readonly Delivery[], startBy: number, signal: AbortSignal): Promise<readonly Outcome[]>
}

/** Where messages go one by one. */
export interface Sender {
  /**
   * Delivers one message. Never rejects.
   *
   * @param signal aborted when its claim is lost or the service must end now: the delivery is cancelled and returned
   * @param onReleased called once when the delivery no longer uses a connection, possibly after its outcome is known
   */
  send(delivery: Delivery, signal: CancelSignal, onReleased?: () => void): Promise<Outcome>
  /** Closes its connections. */
  close(): Promise<void>
}
