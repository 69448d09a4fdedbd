import { LAST_MS } from '../domain/message.ts'
import type { Metrics } from '../observability/metrics.ts'
import type { ChangeScripts } from '../store/scripts/change.ts'
import type { State } from '../store/scripts/query.ts'
import type { Direction } from '../store/scripts/search.ts'
import type { Act, Selector } from './selector.ts'

/** Which messages: those with a tag, or with these ids. */
export type Selection = { readonly tag: string } | { readonly ids: readonly string[] }

/** What can be done with many messages. It is not one step: what others do meanwhile is done before or after. */
export interface Bulk {
  /**
   * Cancels those that are scheduled.
   *
   * @param by name of the API key; null for none, as in what follows
   * @returns how many will not be delivered, and how many were just being delivered
   * @throws SchedulerError STORE_UNAVAILABLE: some may be cancelled
   * @see lua/schedule/cancel.lua
   */
  cancel(selection: Selection, by: string | null): Promise<{ cancelled: number; claimed: number }>
  /**
   * Moves each that was scheduled when this began exactly once, its not-after along with it.
   *
   * @returns how many it moved
   * @throws SchedulerError STORE_UNAVAILABLE: some may have been moved
   * @see lua/schedule/shift.lua
   */
  shift(selection: Selection, byMs: number, by: string | null): Promise<number>
}

export interface BulkDeps {
  readonly scripts: Pick<ChangeScripts, 'cancel' | 'shift'>
  readonly selector: Selector
  readonly metrics: Pick<Metrics, 'cancelled'>
  readonly onNextDue: (shard: number, inMs: number, lane: string) => void
}

const LIVE: ReadonlySet<State> = new Set(['scheduled', 'claimed'])

export function createBulk({ scripts, selector, metrics, onNextDue }: BulkDeps): Bulk {
  async function forEach(selection: Selection, direction: Direction, act: Act): Promise<void> {
    if ('tag' in selection) {
      // With the claimed ones, which are counted.
      const of = { index: { tag: selection.tag }, keep: {} }
      await Promise.all(selector.everyShard.map((shard) => selector.walk(shard, of, direction, act)))
      return
    }
    const { sorted } = await selector.byShard(selection.ids, LIVE)
    for (const [shard, ids] of sorted) await selector.actOnAll(shard, ids, act)
  }

  return {
    async cancel(selection, by) {
      const total = { cancelled: 0, claimed: 0 }
      await forEach(selection, 'up', async (shard, ids) => {
        const words = await scripts.cancel(shard, { ids, ifMatch: '', states: ['scheduled'], by })
        metrics.cancelled(words.filter((word) => word === 'cancelled').length)
        for (const word of words) {
          if (word === 'cancelled' || word === 'claimed') total[word] += 1
        }
        return words.length
      })
      return total
    },

    async shift(selection, byMs, by) {
      let total = 0
      // When moving to later times, the latest first: a moved message is then behind the position and is not met again.
      await forEach(selection, byMs > 0 ? 'down' : 'up', async (shard, ids) => {
        const { processed, shifted, nextDueInMs, nextDueLane } = await scripts.shift(shard, {
          ids,
          byMs,
          by,
          latest: LAST_MS,
        })
        if (nextDueInMs !== null) onNextDue(shard, nextDueInMs, nextDueLane)
        total += shifted
        return processed
      })
      return total
    },
  }
}
