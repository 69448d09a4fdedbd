import type { Position } from '../store/scripts/query.ts'

/** How far an operation is. It is stored as JSON before each step, so that another server can continue. */
export interface Cursor {
  /** how many shards there were when it began: later ones have only newer messages */
  readonly shards: number
  readonly shard: number
  /** in its shard, behind what it has taken so far; null for the first */
  readonly after: Position | null
  /** where it stops in its shard: the last message of when it came to it; absent where it has not looked yet */
  readonly until?: Position
  /** whether nothing is left in its shard behind `pending` */
  readonly isLast: boolean
  /** the next step's number, see lua/lib/step.lua */
  readonly step: number
  /** ids of this step, which may have run already */
  readonly pending: readonly string[]
}

export const firstCursor = (shards: number): Cursor => ({
  ...{ shards, shard: 0, after: null, isLast: false, step: 1, pending: [] },
})

export const nextShard = ({ shards, shard, step }: Cursor): Cursor => ({
  ...firstCursor(shards),
  shard: shard + 1,
  step,
})
