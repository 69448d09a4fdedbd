/** Why a message is where it is: the closed list, in the API, in metrics and in clients. */
export const REASONS = [
  ...['not-due', 'waiting-retry', 'paused', 'rate-limited', 'flow-full', 'destination-full', 'servers-full'],
  ...['order-blocked', 'no-worker', 'no-puller', 'delivering', 'leased', 'lock-lost', 'behind'],
  ...['delivered', 'dropped', 'dead', 'cancelled', 'unknown'],
] as const

export type Reason = (typeof REASONS)[number]

/** What a reason is told with: fields by name, absent where they are not known. */
export type Details = Readonly<Record<string, unknown>>

/** A reason, as it is answered. */
export interface Told {
  readonly reason: Reason
  /** since when it holds, epoch ms; null where that is not known */
  readonly since: number | null
  /** until when, epoch ms; null where that is not known */
  readonly until: number | null
  /** one sentence for people */
  readonly summary: string
  /** times in it are epoch ms, under names that end in At, Since or Until, and are answered as ISO 8601 */
  readonly details: Details
}
