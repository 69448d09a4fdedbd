/** see src/destinations/registry.ts */
export type DestinationType = string

/** How a delivery ended. */
export interface Ended {
  /** a status, or a reason where there was no answer; absent where there are no such things */
  readonly code?: string
  readonly durationMs: number
}

/** What the rooms report of their work. */
export interface Metrics {
  /**
   * A delivery starts (console, webhook), is handed to a worker (pull) or moves to its stream.
   * @param lateMs after this attempt was due
   * @param lane of the destination, here and below; "" for the console
   */
  deliveryStarted(type: DestinationType, lateMs: number, lane: string): void
  delivered(type: DestinationType, count: number, lane: string): void
  /** A delivery failed. @param then whether it is due again or is dead now @param reason a short code */
  failed(type: DestinationType, then: 'retried' | 'dead', lane: string, reason: string): void
  /** A delivery is over that took a time, and that was answered with a status or failed without one. */
  ended(lane: string, how: Ended): void
  /** Clients have cancelled so many messages, dead letters among them. */
  cancelled(count: number): void
  /** Messages became dead letters without a failed delivery: too late, or too many recoveries. */
  died(count: number): void
  recovered(count: number): void
  /** Claims whose lock was gone when it was to be extended or settled. */
  locksLost(count: number): void
  /** A claim call returned so many messages, never 0. */
  claimed(count: number): void
  /** A call that stores new messages took so long. */
  scheduled(count: number, ms: number): void
  /** Dead letters beyond DEAD_MAX or DEAD_TTL_MS were deleted. */
  deadTrimmed(count: number): void
  /** A step of an operation did so many messages, and could not do so many others. */
  operationStepped(action: string, done: number, failed: number): void
  operationEnded(action: string, state: 'done' | 'stopped' | 'failed'): void
  /** This server has so many streams of events open now. */
  eventStreams(count: number): void
  /** Events were written to the ring, at least 1. */
  eventsWritten(count: number): void
  /** Events were dropped: Redis took none for too long, or a client read too slowly. */
  eventsDropped(count: number): void
  /** Redis no longer held the data that it had held before. */
  dataLost(): void
}

/** Messages by state, over all shards. */
export interface Totals {
  readonly scheduled: number
  readonly claimed: number
  readonly dead: number
  /** stored, but in no state: another program has changed Redis */
  readonly stranded: number
  /** due, and held by a pause */
  readonly paused: number
  /** of what no pause holds, as in oldestLateMs */
  readonly oldestOverdueMs: number
  /** the same without what only waits for a worker to pull it, or for a slot of its host */
  readonly oldestLateMs: number
}
