import { LAST_MS } from '../message.ts'
import type { MessageScripts, Position } from '../redis/message-scripts.ts'
import { precedes } from './listing.ts'
import type { ShardBook } from './shard-book.ts'

/** One script call works on this many messages at most, whatever the number in all. */
const CALL_MESSAGES = 500

/** Which messages: those with a tag, or with these ids. */
export type Selection = { readonly tag: string } | { readonly ids: readonly string[] }

/** What can be done with many messages. It is not one step: what others do meanwhile is done before or after. */
export interface Bulk {
  /**
   * Cancels those that are scheduled.
   *
   * @returns how many will not be delivered, and how many were just being delivered
   * @throws SchedulerError STORE_UNAVAILABLE: some may be cancelled
   * @see lua/cancel.lua
   */
  cancel(selection: Selection): Promise<{ cancelled: number; claimed: number }>
  /**
   * Moves each that was scheduled when this began exactly once, its not-after along with it.
   *
   * @returns how many it moved
   * @throws SchedulerError STORE_UNAVAILABLE: some may have been moved
   * @see lua/shift.lua
   */
  shift(selection: Selection, byMs: number): Promise<number>
}

export interface BulkDeps {
  readonly scripts: Pick<MessageScripts, 'range' | 'cancel' | 'shift' | 'find'>
  readonly shardBook: ShardBook
  readonly onHead: (shard: number, inMs: number) => void
}

type Direction = 'up' | 'down'
/** Works on some ids of one shard. @returns on how many of them, from the first on */
type Act = (shard: number, ids: readonly string[]) => Promise<number>

export function createBulk({ scripts, shardBook, onHead }: BulkDeps): Bulk {
  const everyShard = Array.from({ length: shardBook.shards }, (_, shard) => shard)

  /** Calls `act` with ever new ids of a tag in one shard, in order of time, up to what was last when this began. */
  async function walk(shard: number, tag: string, direction: Direction, act: Act): Promise<void> {
    const back = direction === 'up' ? 'down' : 'up'
    const { end: last } = await scripts.range(shard, { tag, direction: back, after: null, limit: 1 })
    let after: Position | null = null
    while (last !== null) {
      const page = await scripts.range(shard, { tag, direction, after, limit: CALL_MESSAGES })
      if (page.end === null) return
      await actOnAll(shard, page.ids, act)
      after = page.end
      // What comes to lie behind it meanwhile is not followed, so that this ends however fast that happens.
      if (direction === 'up' ? !precedes(after, last) : !precedes(last, after)) return
    }
  }

  async function actOnAll(shard: number, ids: readonly string[], act: Act): Promise<void> {
    for (let rest = ids; rest.length > 0; ) rest = rest.slice(await act(shard, rest.slice(0, CALL_MESSAGES)))
  }

  /** Sorts ids by the shard each is in; one that may be in several is looked for, in the newest of them first. */
  async function byShard(ids: readonly string[]): Promise<Map<number, string[]>> {
    const sorted = new Map<number, string[]>()
    const put = (shard: number, id: string) => {
      const others = sorted.get(shard)
      if (others === undefined) sorted.set(shard, [id])
      else others.push(id)
    }
    const searched = new Map<number, string[]>()
    for (const id of new Set(ids)) {
      const [first, ...older] = shardBook.shardsOf(id)
      if (first !== undefined && older.length === 0) put(first, id)
      else
        for (const shard of [first, ...older])
          searched.set(shard ?? 0, [...(searched.get(shard ?? 0) ?? []), id])
    }
    const live = new Map<string, Set<number>>()
    for (const [shard, candidates] of searched) {
      for (let i = 0; i < candidates.length; i += CALL_MESSAGES) {
        for (const found of await scripts.find(shard, candidates.slice(i, i + CALL_MESSAGES))) {
          if (found === undefined || !LIVE.has(found.state)) continue
          live.set(found.id, (live.get(found.id) ?? new Set()).add(shard))
        }
      }
    }
    for (const [id, shards] of live) {
      const newest = shardBook.shardsOf(id).find((shard) => shards.has(shard))
      if (newest !== undefined) put(newest, id)
    }
    return sorted
  }

  async function forEach(selection: Selection, direction: Direction, act: Act): Promise<void> {
    if ('tag' in selection) {
      await Promise.all(everyShard.map((shard) => walk(shard, selection.tag, direction, act)))
      return
    }
    for (const [shard, ids] of await byShard(selection.ids)) await actOnAll(shard, ids, act)
  }

  return {
    async cancel(selection) {
      const total = { cancelled: 0, claimed: 0 }
      await forEach(selection, 'up', async (shard, ids) => {
        const words = await scripts.cancel(shard, { ids, ifMatch: '', dead: false })
        for (const word of words) {
          if (word === 'cancelled' || word === 'claimed') total[word] += 1
        }
        return words.length
      })
      return total
    },

    async shift(selection, byMs) {
      let total = 0
      // Later ones first when moving to later, so that what was moved lies behind and is not met again.
      await forEach(selection, byMs > 0 ? 'down' : 'up', async (shard, ids) => {
        const { lookedAt, shifted, headInMs } = await scripts.shift(shard, { ids, byMs, latest: LAST_MS })
        if (headInMs !== null) onHead(shard, headInMs)
        total += shifted
        return lookedAt
      })
      return total
    },
  }
}

const LIVE: ReadonlySet<string> = new Set(['scheduled', 'claimed'])
