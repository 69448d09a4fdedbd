/** see src/destinations/registry.ts */
export type DestinationType = string

/** What the rooms report of their work. */
export interface Metrics {
  /**
   * A delivery starts (console, webhook), is handed to a worker (pull) or moves to its stream.
   * @param lateMs after this attempt was due
   */
  deliveryStarted(type: DestinationType, lateMs: number): void
  delivered(type: DestinationType, count: number): void
  /** A delivery failed. @param then whether it is due again or is dead now */
  failed(type: DestinationType, then: 'retried' | 'dead'): void
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
