import type { ScriptContext } from '../define-script.ts'
import type { ListedState, Position } from './query.ts'

/** In which order of score and id an index is walked through. */
export type Direction = 'up' | 'down'

/** A state's index (scheduled: the main due set's), a lane's, or that of scheduled and claimed messages with a tag. */
export type Index =
  | ListedState
  | 'forStreams'
  | 'laned'
  | { readonly lane: string }
  | { readonly tag: string }

/** Which of an index: those for which all that is given holds. */
export interface Keep {
  /** of a tag's index: without the claimed ones */
  readonly state?: 'scheduled'
  readonly tag?: string
  /** the name of a lane, see laneName */
  readonly lane?: string
  /** of dead letters */
  readonly reason?: string
  readonly idPrefix?: string
}

/** Times of an index, in epoch ms: from inclusive, before exclusive; null for no bound. */
export interface Span {
  readonly from: number | null
  readonly before: number | null
}

export interface Search extends Span {
  readonly index: Index
  readonly keep: Keep
  readonly direction: Direction
  /** it begins behind this; null for the first */
  readonly after: Position | null
  /** messages looked at, and those that match, at most */
  readonly limit: number
  readonly most: number
}

export type ListQuery = Search & { readonly bytes: number }

export interface Row {
  readonly id: string
  readonly score: string
  readonly record: string
  readonly attemptCounts: string
  readonly failures: string
}

interface Searched {
  /** where to continue; null at the end */
  readonly end: Position | null
  /** how many messages it has looked at */
  readonly looked: number
}

export const GROUPINGS = ['reason', 'destination', 'tag'] as const
export type Grouping = (typeof GROUPINGS)[number]

/** Dead letters that have something in common. */
export interface DeadGroup {
  /** the reason, the name of the lane, or the tag */
  readonly key: string
  readonly count: number
  /** when the first and the last of them became dead letters, epoch ms */
  readonly first: number
  readonly last: number
  /** three ids at most, the first that were met */
  readonly sample: readonly string[]
}

/** Each rejects with a SchedulerError as toSchedulerError says. */
export interface SearchScripts {
  /** @see lua/query/list.lua */
  list(shard: number, query: ListQuery): Promise<Searched & { rows: readonly Row[] }>
  /** @see lua/query/match.lua */
  match(
    shard: number,
    search: Search & { most: number },
  ): Promise<Searched & { matches: readonly Position[] }>
  /**
   * How many there are in an index, at the same cost for any number.
   *
   * @param state of a tag's index, to leave out the claimed ones
   * @returns undefined where so many are claimed that this would take too long
   * @see lua/query/size.lua
   */
  size(shard: number, args: Span & { index: Index; state?: 'scheduled' }): Promise<number | undefined>
  /** @see lua/query/dead-groups.lua */
  deadGroups(
    shard: number,
    args: Pick<Search, 'direction' | 'after' | 'limit'> & { by: Grouping },
  ): Promise<Searched & { groups: readonly DeadGroup[] }>
}

const SEARCH = [
  ...(['index', 'entries', 'direction', 'from', 'before', 'afterScore', 'afterId', 'limit'] as const),
  ...(['state', 'tag', 'lane', 'reason', 'idPrefix', 'most'] as const),
] as const

export function searchScripts({ define, keys }: ScriptContext): SearchScripts {
  const list = define('list', { args: [...SEARCH, 'bytes'], timed: true })
  const match = define('match', { args: SEARCH, timed: true })
  const size = define('size', { args: ['index', 'from', 'before', 'state'], timed: true })
  const deadGroups = define('dead-groups', { args: [...SEARCH, 'by'], timed: true })

  const keyOf = (shard: number, index: Index) => {
    const ofShard = keys(shard)
    if (typeof index === 'string') return ofShard[index]
    return 'tag' in index ? ofShard.tagPrefix + index.tag : `${ofShard.scheduled}:${index.lane}`
  }
  const spanOf = ({ from, before }: Span) => ({ from: from ?? '-inf', before: before ?? '+inf' })
  const argsOf = (shard: number, { index, keep, direction, after, limit, most, ...span }: Search) => ({
    ...{ index: keyOf(shard, index), direction, ...spanOf(span), limit, most },
    entries: index === 'cancelled' ? keys(shard).cancellations : keys(shard).history,
    ...{ afterScore: after?.score ?? '', afterId: after?.id ?? '' },
    ...{ state: keep.state ?? '', tag: keep.tag ?? '', lane: keep.lane ?? '' },
    ...{ reason: keep.reason ?? '', idPrefix: keep.idPrefix ?? '' },
  })

  return {
    async list(shard, { bytes, ...search }) {
      const [score, id, looked, ...rest] = await list(shard, { ...argsOf(shard, search), bytes })
      const rows = inParts(rest, 5).map(
        ([id = '', score = '', record = '', attemptCounts = '', failures = '']) => ({
          ...{ id, score, record, attemptCounts, failures },
        }),
      )
      return { rows, ...searched(score, id, looked) }
    },

    async match(shard, search) {
      const [score, id, looked, ...rest] = await match(shard, argsOf(shard, search))
      const matches = inParts(rest, 2).map(([id = '', score = '']) => ({ score, id }))
      return { matches, ...searched(score, id, looked) }
    },

    async size(shard, { index, state = '', ...span }) {
      const [count] = await size(shard, { index: keyOf(shard, index), state, ...spanOf(span) })
      return count === 'unknown' ? undefined : Number(count)
    },

    async deadGroups(shard, { by, ...args }) {
      const search = { index: 'dead', keep: {}, from: null, before: null, most: args.limit, ...args } as const
      const [score, id, looked, ...rest] = await deadGroups(shard, { ...argsOf(shard, search), by })
      const groups = inParts(rest, 5).map(([key = '', count, first, last, sample = '']) => ({
        ...{
          key,
          count: Number(count),
          first: Number(first),
          last: Number(last),
          sample: sample.split('\n'),
        },
      }))
      return { groups, ...searched(score, id, looked) }
    },
  }
}

const searched = (score: unknown, id: unknown, looked: unknown): Searched => ({
  end: score === '' ? null : { score: String(score), id: String(id) },
  looked: Number(looked),
})

function inParts(flat: readonly unknown[], width: number): string[][] {
  const parts: string[][] = []
  for (let i = 0; i < flat.length; i += width) parts.push(flat.slice(i, i + width).map(String))
  return parts
}
