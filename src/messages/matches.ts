import type { ShardMap } from '../shards/shard-map.ts'
import type { Position, QueryScripts } from '../store/scripts/query.ts'
import type { Direction, SearchScripts } from '../store/scripts/search.ts'
import type { Filter, Matches, MatchPage } from './filter.ts'
import { isMatch } from './is-match.ts'
import { compareBy, orderOf, precedes } from './order.ts'
import { isExact, type Plan, planSearch } from './search-plan.ts'

/** One script call looks at this many messages at most. */
const CALL_LOOKS = 500

export interface MatchesDeps {
  readonly scripts: Pick<QueryScripts & SearchScripts, 'find' | 'match' | 'size'>
  readonly shardMap: Pick<ShardMap, 'shardsOf'>
  /** Redis's clock as last heard of, epoch ms */
  readonly now: () => number
}

/** @see lua/query/match.lua */
export function createMatches({ scripts, shardMap, now }: MatchesDeps): Matches {
  /** Of each list of ids, sorted once, those that a shard may have. */
  const sorted = new WeakMap<readonly string[], ReadonlyMap<number, readonly string[]>>()

  function idsIn(shard: number, ids: readonly string[]): readonly string[] {
    let byShard = sorted.get(ids)
    if (byShard === undefined) {
      byShard = sortIds(ids, shardMap)
      sorted.set(ids, byShard)
    }
    return byShard.get(shard) ?? []
  }

  /** Ids have positions without a time. */
  async function pageOfIds(
    shard: number,
    filter: Filter & { ids: readonly string[] },
    { after, limit }: { after: Position | null; limit: number },
  ): Promise<MatchPage> {
    const left = idsIn(shard, filter.ids).filter((id) => after === null || id > after.id)
    const part = left.slice(0, Math.min(limit, CALL_LOOKS))
    const found = part.length === 0 ? [] : await scripts.find(shard, part)
    const matches = found.flatMap((each) =>
      each !== undefined && isMatch(each, filter, now()) ? [untimed(each.id)] : [],
    )
    const last = part.at(-1)
    const end = last === undefined || part.length === left.length ? null : untimed(last)
    return { matches, end, looked: part.length }
  }

  async function pageOfIndexes(
    shard: number,
    filter: Filter,
    { after, direction, limit }: { after: Position | null; direction: Direction; limit: number },
  ): Promise<MatchPage> {
    const plans = await planSearch(scripts, shard, filter, now())
    const parts = await Promise.all(
      plans.map((plan) =>
        scripts.match(shard, { ...plan, direction, after, limit: looksOf(plan), most: limit }),
      ),
    )
    const isBefore = orderOf(direction)
    const ends = parts.flatMap(({ end }) => (end === null ? [] : [end])).sort(compareBy(isBefore))
    // What is behind the first end is met again from there on, together with what that part has not looked at yet.
    const [first = null] = ends
    const all = parts
      .flatMap(({ matches }) => matches)
      .filter((match) => first === null || !isBefore(first, match))
      .sort(compareBy(isBefore))
    const matches = all.slice(0, limit)
    const isCut = matches.length < all.length
    return {
      matches,
      end: isCut ? (matches.at(-1) ?? first) : first,
      looked: parts.reduce((sum, { looked }) => sum + looked, 0),
    }
  }

  return {
    async page(shard, filter, { until, ...args }) {
      const { ids } = filter
      const page = await (ids === undefined
        ? pageOfIndexes(shard, filter, args)
        : pageOfIds(shard, { ...filter, ids }, args))
      if (until === undefined) return page
      const isBefore = ids === undefined ? orderOf(args.direction) : precedes
      const { matches, end, looked } = page
      return {
        matches: matches.filter((match) => !isBefore(until, match)),
        end: end !== null && isBefore(end, until) ? end : null,
        looked,
      }
    },

    async last(shard, filter, direction) {
      const { ids } = filter
      if (ids !== undefined) {
        const last = idsIn(shard, ids).at(-1)
        return last === undefined ? null : untimed(last)
      }
      const plans = await planSearch(scripts, shard, filter, now())
      const back = direction === 'up' ? 'down' : 'up'
      const lasts = await Promise.all(
        plans.map(async (plan) => {
          const args = { ...plan, keep: {}, direction: back, after: null, limit: 1, most: 1 } as const
          return (await scripts.match(shard, args)).matches
        }),
      )
      return lasts.flat().sort(compareBy(orderOf(back)))[0] ?? null
    },
  }
}

function sortIds(
  ids: readonly string[],
  shardMap: Pick<ShardMap, 'shardsOf'>,
): ReadonlyMap<number, readonly string[]> {
  const byShard = new Map<number, string[]>()
  for (const id of [...new Set(ids)].sort()) {
    for (const shard of shardMap.shardsOf(id)) {
      const others = byShard.get(shard)
      if (others === undefined) byShard.set(shard, [id])
      else others.push(id)
    }
  }
  return byShard
}

const untimed = (id: string): Position => ({ score: '0', id })

/** More of those that need not be read. */
export const looksOf = (plan: Plan): number =>
  isExact({ ...plan, keep: withoutPrefix(plan) }) ? 4 * CALL_LOOKS : CALL_LOOKS

const withoutPrefix = ({ keep: { idPrefix: _, ...keep } }: Plan) => keep
