import type { Retention } from '../../../../src/store/script-values.ts'
import type { Stored } from './types.ts'

export interface Cancelled {
  readonly finishedAt: number
  readonly by: string
  readonly message: Stored
}

const byEnd = ([a, x]: [string, Cancelled], [b, y]: [string, Cancelled]) =>
  x.finishedAt - y.finishedAt || (a < b ? -1 : 1)

/** What the history has of cancelled messages. */
export class ModelCancelled {
  all = new Map<string, Cancelled>()
  private readonly retention: Retention

  constructor(retention: Retention) {
    this.retention = retention
  }

  /** those that are young enough */
  remembered(now: number): Map<string, Cancelled> {
    const since = now - this.retention.historyTtlMs
    return new Map([...this.all].filter(([, { finishedAt }]) => finishedAt > since))
  }

  /** @param now when these were cancelled */
  trim(ids: readonly string[], now: number): void {
    for (const id of ids) {
      const cancelled = this.all.get(id)
      if (cancelled !== undefined) this.all.set(id, { ...cancelled, finishedAt: now })
    }
    const kept = [...this.remembered(now)].sort(byEnd)
    this.all = new Map(kept.slice(Math.max(0, kept.length - this.retention.historyMax)))
  }
}
