import { parseServerMadeId } from '../message-id.ts'
import type { MessageScripts, Position } from '../redis/message-scripts.ts'
import type { ShardBook } from './shard-book.ts'

/** One script call works on this many messages at most, whatever the number in all. */
const CALL_MESSAGES = 500
/** No message is moved past the last time that ISO 8601 writes with four digits of year. */
const LAST_MS = 253_402_300_799_999

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
  /** Redis's clock, epoch ms */
  readonly readClock: () => Promise<number>
}

export function createBulk({ scripts, shardBook, onHead, readClock }: BulkDeps): Bulk {
  const everyShard = Array.from({ length: shardBook.shards }, (_, shard) => shard)

  /** Calls `act` with ever new ids of a tag in one shard, in order of time, until there are none. */
  async function walk(
    shard: number,
    tag: string,
    direction: 'up' | 'down',
    act: (shard: number, ids: readonly string[]) => Promise<void>,
  ): Promise<void> {
    let after: Position | null = null
    do {
      const { ids, end } = await scripts.range(shard, { tag, direction, after, limit: CALL_MESSAGES })
      if (ids.length > 0) await act(shard, ids)
      after = end
    } while (after !== null)
  }

  /** Sorts ids by the shard each is in; one that may be in several is looked for. */
  async function byShard(ids: readonly string[]): Promise<Map<number, string[]>> {
    const sorted = new Map<number, string[]>()
    for (const id of new Set(ids)) {
      const [first, ...older] = shardBook.shardsOf(id)
      if (first === undefined) continue
      let shard = first
      for (const candidate of older) {
        if ((await scripts.find(candidate, [id]))[0] !== undefined) shard = candidate
      }
      sorted.set(shard, [...(sorted.get(shard) ?? []), id])
    }
    return sorted
  }

  async function forEach(
    selection: Selection,
    direction: 'up' | 'down',
    act: (shard: number, ids: readonly string[]) => Promise<void>,
  ): Promise<void> {
    if ('tag' in selection) {
      await Promise.all(everyShard.map((shard) => walk(shard, selection.tag, direction, act)))
      return
    }
    for (const [shard, ids] of await byShard(selection.ids)) {
      for (let i = 0; i < ids.length; i += CALL_MESSAGES) await act(shard, ids.slice(i, i + CALL_MESSAGES))
    }
  }

  return {
    async cancel(selection) {
      const began = await readClock()
      const total = { cancelled: 0, claimed: 0 }
      await forEach(selection, 'up', async (shard, ids) => {
        // Without what is scheduled meanwhile, this comes to an end however fast that is.
        const old = 'tag' in selection ? ids.filter((id) => wasThere(id, began)) : ids
        for (const word of await scripts.cancel(shard, { ids: old, ifMatch: '', dead: false })) {
          if (word === 'cancelled' || word === 'claimed') total[word] += 1
        }
      })
      return total
    },

    async shift(selection, byMs) {
      const began = await readClock()
      let total = 0
      // Later ones first when moving to later, so that what was moved lies behind and is not met again.
      await forEach(selection, byMs > 0 ? 'down' : 'up', async (shard, ids) => {
        const old = ids.filter((id) => wasThere(id, began))
        const { shifted, headInMs } = await scripts.shift(shard, {
          ids: old,
          byMs,
          createdBy: began,
          latest: LAST_MS,
        })
        if (headInMs !== null) onHead(shard, headInMs)
        total += shifted
      })
      return total
    },
  }
}

/** Of a client-made id the scripts know. */
const wasThere = (id: string, at: number): boolean => (parseServerMadeId(id)?.createdAt ?? 0) <= at
