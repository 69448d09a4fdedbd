import type { Position } from '../store/scripts/query.ts'
import type { Row } from '../store/scripts/search.ts'
import type { ListingDeps, PageQuery } from './listing.ts'
import { orderOf } from './order.ts'
import { type Plan, planSearch } from './search-plan.ts'

/** What one script call answers at most, so that none takes long. */
const CALL_MESSAGES = 100
const CALL_BYTES = 1_048_576
/** So many messages that an index does not choose are looked at for one walk, and by one script call. */
const WALK_LOOKS = 10_000
const CALL_LOOKS = 500

/** One index's part of a page: what has been read and not yet been taken, and where to read on. */
interface Source {
  readonly shard: number
  readonly plan: Plan
  readonly rows: Row[]
  next: Position | null
  ended: boolean
}

export interface MergedWalk {
  /** The next message, without taking it; or the end: null when nothing is left, else where enough was looked at. */
  next(): Promise<{ readonly row: Row } | { readonly end: Position | null }>
  take(): void
}

/**
 * Walks through the indexes of all shards that hold what matches, in the order of time and id over all of them.
 *
 * @throws SchedulerError STORE_UNAVAILABLE, also from `next`
 */
export async function createMergedWalk(deps: ListingDeps, query: PageQuery): Promise<MergedWalk> {
  const { scripts, shardMap, now } = deps
  const { filter, direction, limit, after } = query
  const isBefore = orderOf(direction)
  const shards = Array.from({ length: shardMap.all }, (_, shard) => shard)
  const plans = await Promise.all(
    shards.map(async (shard) =>
      (await planSearch(scripts, shard, filter, now())).map((plan) => ({ shard, plan })),
    ),
  )
  const sources = plans.flat().map((each): Source => ({ ...each, rows: [], next: after, ended: false }))
  let looksLeft = WALK_LOOKS

  function first(): Source | undefined {
    let least: Source | undefined
    for (const source of sources) {
      const [row] = source.rows
      const [other] = least?.rows ?? []
      if (row !== undefined && (other === undefined || isBefore(row, other))) least = source
    }
    return least
  }

  /** Those that may have a message before this one. */
  const behind = (row: Row | undefined) =>
    sources.filter(
      ({ rows, ended, next }) =>
        rows.length === 0 && !ended && (row === undefined || next === null || isBefore(next, row)),
    )

  async function read(source: Source, share: number): Promise<void> {
    const { shard, plan, next } = source
    const isChosen = Object.keys(plan.keep).length === 0
    const most = Math.min(limit, CALL_MESSAGES)
    const { rows, end, looked } = await scripts.list(shard, {
      ...{ ...plan, direction, after: next, bytes: CALL_BYTES, most },
      limit: isChosen ? most : share,
    })
    if (!isChosen) looksLeft -= looked
    // The message whose whole id it is has been listed first.
    source.rows.push(...rows.filter(({ id }) => id !== filter.idPrefix))
    source.next = end
    source.ended = end === null
  }

  return {
    async next() {
      for (;;) {
        const source = first()
        const waiting = behind(source?.rows[0])
        if (waiting.length === 0) {
          const row = source?.rows[0]
          return row === undefined ? { end: null } : { row }
        }
        if (looksLeft <= 0) return { end: leastOf(waiting) }
        const share = Math.max(1, Math.min(CALL_LOOKS, Math.floor(looksLeft / waiting.length)))
        await Promise.all(waiting.map((each) => read(each, share)))
      }
    },
    take: () => void first()?.rows.shift(),
  }

  function leastOf(waiting: readonly Source[]): Position | null {
    const places = waiting.flatMap(({ next }) => (next === null ? [] : [next]))
    return places.reduce<Position | null>((a, b) => (a === null || isBefore(b, a) ? b : a), null)
  }
}
