/** One message on its way out. */
export interface Delivery {
  readonly id: string
  /** when the client wanted it delivered, epoch ms */
  readonly dueAt: number
  /** when this attempt was due, epoch ms: `dueAt`, or the time of a retry */
  readonly attemptDueAt: number
  /** how late this delivery starts, ms by Redis's clock */
  readonly lateMs: number
  /** 1 for the first delivery, one more for each failure or recovery before */
  readonly attempt: number
  readonly failures: number
  /** JSON text */
  readonly payload: string
}

/**
 * How one delivery ended.
 *
 * - delivered  the destination has it
 * - failed     the destination did not take it: uses an attempt, due again later
 * - returned   not tried, or given up without harm: uses no attempt, due again at once
 */
export type Outcome =
  | { readonly kind: 'delivered' }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'returned' }

export interface Destination {
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
