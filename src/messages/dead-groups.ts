import type { Position } from '../store/scripts/query.ts'
import type { DeadGroup, Grouping, SearchScripts } from '../store/scripts/search.ts'

export { type DeadGroup, GROUPINGS, type Grouping } from '../store/scripts/search.ts'

/** So many dead letters are looked at, the newest of each shard, and by one script call. */
const MOST_LOOKS = 100_000
const CALL_LOOKS = 500
const MOST_GROUPS = 1_000
const MOST_SAMPLES = 3

export interface DeadGroups {
  /** the largest first, 1,000 at most; samples are of the newest */
  readonly groups: readonly DeadGroup[]
  /** how many more groups there are */
  readonly omitted: number
  /** whether older dead letters were not looked at */
  readonly isPart: boolean
}

/**
 * Groups dead letters by what they have in common, over all shards.
 *
 * @throws SchedulerError STORE_UNAVAILABLE
 * @see lua/query/dead-groups.lua
 */
export async function deadGroups(
  scripts: Pick<SearchScripts, 'deadGroups'>,
  shards: number,
  by: Grouping,
): Promise<DeadGroups> {
  const groups = new Map<string, DeadGroup>()
  const looksOfEach = Math.max(CALL_LOOKS, Math.floor(MOST_LOOKS / shards))
  let isPart = false
  for (let shard = 0; shard < shards; shard += 1) {
    let after: Position | null = null
    let looksLeft = looksOfEach
    do {
      const limit = Math.min(looksLeft, CALL_LOOKS)
      const page = await scripts.deadGroups(shard, { by, direction: 'down', after, limit })
      for (const group of page.groups) groups.set(group.key, merged(groups.get(group.key), group))
      looksLeft -= page.looked
      after = page.end
    } while (after !== null && looksLeft > 0)
    isPart ||= after !== null
  }
  const all = [...groups.values()].sort((a, b) => b.count - a.count || (a.key < b.key ? -1 : 1))
  return { groups: all.slice(0, MOST_GROUPS), omitted: Math.max(0, all.length - MOST_GROUPS), isPart }
}

/** Of the samples, those of the group with the newer message come first. */
function merged(a: DeadGroup | undefined, b: DeadGroup): DeadGroup {
  if (a === undefined) return b
  const [newer, older] = a.last >= b.last ? [a, b] : [b, a]
  return {
    key: a.key,
    count: a.count + b.count,
    first: Math.min(a.first, b.first),
    last: newer.last,
    sample: [...newer.sample, ...older.sample].slice(0, MOST_SAMPLES),
  }
}
