import type { ShardMap } from '../shards/shard-map.ts'
import type { Position, QueryScripts, State } from '../store/scripts/query.ts'
import type { Direction, Index, Keep, SearchScripts } from '../store/scripts/search.ts'
import { orderOf } from './order.ts'

/** One script call handles at most this many messages. */
const CALL_MESSAGES = 500

/** Works on some ids of one shard. @returns on how many of them, from the first on */
export type Act = (shard: number, ids: readonly string[]) => Promise<number>

/** Finds the messages that an act on many is meant for, a bounded part at a time. */
export interface Selector {
  readonly everyShard: readonly number[]
  /**
   * Calls `act` with ever new ids of an index in one shard, in order of time, up to what was last when this began.
   */
  walk(
    shard: number,
    of: { readonly index: Index; readonly keep: Keep },
    direction: Direction,
    act: Act,
  ): Promise<void>
  /** Calls `act` until it has worked on all these ids. */
  actOnAll(shard: number, ids: readonly string[], act: Act): Promise<void>
  /**
   * Sorts ids, each once, by the shard they are in. One that may be in several, as there were fewer shards once, is
   * looked for in the newest of them first.
   *
   * @param states in which it has to be there
   */
  byShard(
    ids: readonly string[],
    states: ReadonlySet<State>,
  ): Promise<{ sorted: Map<number, string[]>; notFound: string[] }>
}

export function createSelector(
  scripts: Pick<QueryScripts & SearchScripts, 'find' | 'match'>,
  shardMap: ShardMap,
): Selector {
  async function actOnAll(shard: number, ids: readonly string[], act: Act): Promise<void> {
    for (let rest = ids; rest.length > 0; ) rest = rest.slice(await act(shard, rest.slice(0, CALL_MESSAGES)))
  }

  return {
    get everyShard() {
      return Array.from({ length: shardMap.all }, (_, shard) => shard)
    },
    actOnAll,

    async walk(shard, { index, keep }, direction, act) {
      const isBefore = orderOf(direction)
      const search = { index, from: null, before: null, limit: CALL_MESSAGES, most: CALL_MESSAGES }
      const back = direction === 'up' ? 'down' : 'up'
      const { matches } = await scripts.match(shard, {
        ...{ ...search, keep: {}, direction: back, after: null, limit: 1 },
      })
      const [last] = matches
      let after: Position | null = null
      while (last !== undefined) {
        const page = await scripts.match(shard, { ...search, keep, direction, after })
        // Messages that appear behind the last one meanwhile are not meant.
        const met = page.matches.filter((match) => !isBefore(last, match))
        await actOnAll(
          shard,
          met.map(({ id }) => id),
          act,
        )
        after = page.end
        if (after === null || !isBefore(after, last)) return
      }
    },

    byShard: (ids, states) => sortByShard(scripts, shardMap, ids, states),
  }
}

async function sortByShard(
  scripts: Pick<QueryScripts, 'find'>,
  shardMap: Pick<ShardMap, 'shardsOf'>,
  ids: readonly string[],
  states: ReadonlySet<State>,
): ReturnType<Selector['byShard']> {
  const sorted = new Map<number, string[]>()
  const notFound: string[] = []
  const add = (into: Map<number, string[]>, shard: number, id: string) => {
    const others = into.get(shard)
    if (others === undefined) into.set(shard, [id])
    else others.push(id)
  }
  const searched = new Map<number, string[]>()
  const live = new Map<string, Set<number>>()
  for (const id of new Set(ids)) {
    const [first, ...older] = shardMap.shardsOf(id)
    if (first === undefined) notFound.push(id)
    else if (older.length === 0) add(sorted, first, id)
    else {
      live.set(id, new Set())
      for (const shard of [first, ...older]) add(searched, shard, id)
    }
  }
  for (const [shard, candidates] of searched) {
    for (let i = 0; i < candidates.length; i += CALL_MESSAGES) {
      for (const found of await scripts.find(shard, candidates.slice(i, i + CALL_MESSAGES))) {
        if (found !== undefined && states.has(found.state)) live.get(found.id)?.add(shard)
      }
    }
  }
  for (const [id, shards] of live) {
    const newest = shardMap.shardsOf(id).find((shard) => shards.has(shard))
    if (newest === undefined) notFound.push(id)
    else add(sorted, newest, id)
  }
  return { sorted, notFound }
}
