import type { Metrics } from '../observability/metrics.ts'
import type { ChangeScripts } from '../store/scripts/change.ts'
import type { State } from '../store/scripts/query.ts'
import type { Act, Selector } from './selector.ts'

/** Which dead messages. */
export type DeadSelection =
  | { readonly ids: readonly string[] }
  | { readonly tag: string }
  | { readonly all: true }

/** What can be done with many dead messages. It is not one step: what others do meanwhile is done before or after. */
export interface DeadLetters {
  /**
   * Schedules them again, as if they had never failed, but for those that cannot be read: they stay dead letters.
   *
   * @param perSecond how many fall due in each second; null for all at once
   * @param by name of the API key; null for none, as in what follows
   * @returns how many it scheduled, how many cannot be read, and those of the ids that are no dead message's
   * @throws SchedulerError STORE_UNAVAILABLE: some may be scheduled
   */
  redrive(
    selection: DeadSelection,
    perSecond: number | null,
    by: string | null,
  ): Promise<{ redriven: number; unreadable: number; unknown: string[] }>
  /**
   * Deletes them. The history has them as cancelled.
   *
   * @returns how many it deleted
   * @throws SchedulerError STORE_UNAVAILABLE: some may be deleted
   */
  remove(selection: DeadSelection, by: string | null): Promise<number>
}

export interface DeadLettersDeps {
  readonly scripts: Pick<ChangeScripts, 'cancel' | 'redrive'>
  readonly selector: Selector
  readonly metrics: Pick<Metrics, 'cancelled'>
  readonly onNextDue: (shard: number, inMs: number, lane: string) => void
}

const DEAD: ReadonlySet<State> = new Set(['dead'])

/** @see lua/schedule/redrive.lua and lua/schedule/cancel.lua */
export function createDeadLetters({ scripts, selector, metrics, onNextDue }: DeadLettersDeps): DeadLetters {
  /** Shard by shard, so that `perSecond` paces all of them in one sequence. @returns the ids that are in no shard */
  async function forEach(selection: DeadSelection, act: Act): Promise<string[]> {
    if ('ids' in selection) {
      const { sorted, notFound } = await selector.byShard(selection.ids, DEAD)
      for (const [shard, ids] of sorted) await selector.actOnAll(shard, ids, act)
      return notFound
    }
    const of = { index: 'dead', keep: 'tag' in selection ? { tag: selection.tag } : {} } as const
    for (const shard of selector.everyShard) await selector.walk(shard, of, 'up', act)
    return []
  }

  return {
    async redrive(selection, perSecond, by) {
      const everyMs = perSecond === null ? 0 : 1_000 / perSecond
      const unknown: string[] = []
      let redriven = 0
      let unreadable = 0
      let from: number | null = null
      const notFound = await forEach(selection, async (shard, ids) => {
        const reply = await scripts.redrive(shard, { ids, from, everyMs, before: redriven, by })
        from = reply.from
        redriven += reply.processed - reply.unknown.length - reply.unreadable
        unreadable += reply.unreadable
        unknown.push(...reply.unknown)
        if (reply.nextDueInMs !== null) onNextDue(shard, reply.nextDueInMs, reply.nextDueLane)
        return reply.processed
      })
      return { redriven, unreadable, unknown: 'ids' in selection ? [...unknown, ...notFound] : [] }
    },

    async remove(selection, by) {
      let removed = 0
      await forEach(selection, async (shard, ids) => {
        const words = await scripts.cancel(shard, { ids, ifMatch: '', states: ['dead'], by })
        const removedNow = words.filter((word) => word === 'cancelled').length
        metrics.cancelled(removedNow)
        removed += removedNow
        return words.length
      })
      return removed
    },
  }
}
