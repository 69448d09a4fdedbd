import type { ShardMap } from '../shards/shard-map.ts'
import type { Position } from '../store/scripts/query.ts'
import type { SearchScripts } from '../store/scripts/search.ts'
import type { Filter, Matches } from './filter.ts'
import { isExact, planSearch } from './search-plan.ts'

/** Where messages have to be looked at, so many are counted exactly. */
const MOST_COUNTED = 10_000
/** For one count, so many messages are looked at. */
const MOST_LOOKS = 1_000_000
const CALL_MATCHES = 2_000

export interface Counted {
  readonly count: number
  /** there are at least so many, as not all were looked at */
  readonly isAtLeast: boolean
}

export interface CountDeps {
  readonly scripts: Pick<SearchScripts, 'size'>
  readonly matches: Matches
  readonly shardMap: Pick<ShardMap, 'all'>
  /** Redis's clock as last heard of, epoch ms */
  readonly now: () => number
}

/**
 * Counts what matches a filter over all shards: by the size of indexes where these hold nothing else, else one by one,
 * a shard after the other.
 *
 * @throws SchedulerError STORE_UNAVAILABLE
 */
export async function countMatches(deps: CountDeps, filter: Filter): Promise<Counted> {
  const shards = Array.from({ length: deps.shardMap.all }, (_, shard) => shard)
  const sizes = await Promise.all(shards.map((shard) => sizeIn(deps, shard, filter)))
  let count = 0
  for (const size of sizes) {
    if (size === undefined) return countOneByOne(deps, shards, filter)
    count += size
  }
  return { count, isAtLeast: false }
}

/** Undefined where no index says it. */
async function sizeIn(
  { scripts, now }: CountDeps,
  shard: number,
  filter: Filter,
): Promise<number | undefined> {
  if (filter.ids !== undefined) return undefined
  const plans = await planSearch(scripts, shard, filter, now())
  if (!plans.every(isExact)) return undefined
  const sizes = await Promise.all(
    plans.map(({ keep: { state }, index, ...span }) =>
      scripts.size(shard, { index, ...span, ...(state === undefined ? {} : { state }) }),
    ),
  )
  return sizes.reduce((sum, size) => (sum === undefined || size === undefined ? undefined : sum + size), 0)
}

async function countOneByOne(
  { matches }: CountDeps,
  shards: readonly number[],
  filter: Filter,
): Promise<Counted> {
  let count = 0
  let looked = 0
  for (const shard of shards) {
    let after: Position | null = null
    do {
      const page = await matches.page(shard, filter, { after, direction: 'up', limit: CALL_MATCHES })
      count += page.matches.length
      looked += page.looked
      after = page.end
      if (count > MOST_COUNTED) return { count: MOST_COUNTED, isAtLeast: true }
      const isLast = after === null && shard === shards.at(-1)
      if (looked >= MOST_LOOKS && !isLast) return { count, isAtLeast: true }
    } while (after !== null)
  }
  return { count, isAtLeast: false }
}
