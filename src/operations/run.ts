import { SchedulerError } from '../domain/errors.ts'
import type { Filter, Matches } from '../messages/filter.ts'
import type { Metrics } from '../observability/metrics.ts'
import { sleep } from '../runtime/sleep.ts'
import type { OperationScripts, OperationState, Progress } from '../store/scripts/operations.ts'
import { type Cursor, nextShard } from './cursor.ts'
import { createPace, type Pace } from './pace.ts'
import { directionOf, type OperationRequest } from './request.ts'
import type { TakeStep } from './steps.ts'

/** A server that has not saved for so long has lost the operation to another. */
export const LEASE_MS = 5_000
/** How long an operation that has ended is kept. */
export const KEPT_MS = 7 * 86_400_000
/** How often it is saved while nothing is to be done: so soon a stop is noticed. */
const SAVE_EVERY_MS = 250
/** Redis is asked again after so long when it does not answer. */
const RETRY_MS = 500

/** An operation as one server runs it. */
export interface Run {
  readonly id: string
  readonly startedAt: number
  /** the name of the key; null for none */
  readonly startedBy: string | null
  readonly request: OperationRequest
  readonly progress: Progress
  readonly cursor: Cursor
}

export interface RunDeps {
  readonly scripts: Pick<OperationScripts, 'save' | 'clocksApartMs'>
  readonly matches: Matches
  readonly takeStep: TakeStep
  readonly metrics: Pick<Metrics, 'operationStepped' | 'operationEnded'>
  /** the server that runs it */
  readonly owner: string
  /** told how it ended: not when another server continues */
  readonly onEnded: (run: Run, state: OperationState, reason: string) => void
}

/**
 * Runs an operation from its cursor on until it has ended, another server has taken it over, or `signal` aborts: then
 * another server may continue at once. While Redis is away it waits. Never throws.
 */
export async function runOperation(deps: RunDeps, begun: Run, signal: AbortSignal): Promise<void> {
  const { request } = begun
  const run = new Runner(deps, begun, createPace(request.perSecond))
  while (!signal.aborted) {
    try {
      if (await run.advance(signal)) return
    } catch (error) {
      if (!isPassing(error)) return run.fail(error)
      await sleep(RETRY_MS, signal)
    }
  }
  await run.leave()
}

/** What waiting may help against. */
const isPassing = (error: unknown): boolean =>
  error instanceof SchedulerError && (error.code === 'STORE_UNAVAILABLE' || error.code === 'STORE_FULL')

class Runner {
  readonly #deps: RunDeps
  readonly #pace: Pace
  readonly #filter: Filter
  /** what is newer, by the clock of its shard, is not meant */
  readonly #mark: number
  #run: Run
  #savedAt = Number.NEGATIVE_INFINITY

  constructor(deps: RunDeps, run: Run, pace: Pace) {
    this.#deps = deps
    this.#run = run
    this.#pace = pace
    const { filter } = run.request
    // What has become a dead letter since it began is not meant.
    this.#mark = run.startedAt + deps.scripts.clocksApartMs
    const before = this.#mark + 1
    this.#filter =
      filter.status === 'dead' ? { ...filter, to: Math.min(filter.to ?? before, before) } : filter
  }

  /** Does a bounded part. @returns whether this server is through with it */
  async advance(signal: AbortSignal): Promise<boolean> {
    if (this.#run.progress.matched === null) return this.#count(signal)
    const { cursor } = this.#run
    if (cursor.pending.length > 0) return this.#step(signal)
    if (cursor.shard >= cursor.shards) return this.#end('done', '')
    await this.#read()
    return this.#saveNowAndThen()
  }

  /** Counts what matches, where no index tells it. */
  async #count(signal: AbortSignal): Promise<boolean> {
    let matched = 0
    for (let shard = 0; shard < this.#run.cursor.shards; shard += 1) {
      let after: Cursor['after'] = null
      do {
        const page = await this.#page(shard, after, COUNTED_AT_ONCE)
        matched += page.matches.length
        after = page.end
        if (signal.aborted || (await this.#saveNowAndThen())) return true
      } while (after !== null)
    }
    this.#run = { ...this.#run, progress: { ...this.#run.progress, matched } }
    return false
  }

  /** Looks for the messages of the next step. */
  async #read(): Promise<void> {
    const { request, cursor } = this.#run
    const until =
      cursor.until ?? (await this.#deps.matches.last(cursor.shard, this.#filter, directionOf(request)))
    if (until === null) {
      this.#run = { ...this.#run, cursor: nextShard(cursor) }
      return
    }
    const page = await this.#page(cursor.shard, cursor.after, this.#pace.atOnce, until)
    const pending = page.matches.map(({ id }) => id)
    const isLast = page.end === null
    this.#run = { ...this.#run, cursor: { ...cursor, until, after: page.end, pending, isLast } }
    if (pending.length === 0) this.#skipEnded()
  }

  #skipEnded(): void {
    const { cursor } = this.#run
    if (cursor.isLast) this.#run = { ...this.#run, cursor: nextShard(cursor) }
  }

  #page(shard: number, after: Cursor['after'], limit: number, until?: NonNullable<Cursor['until']>) {
    const direction = directionOf(this.#run.request)
    const args = { after, direction, limit, ...(until === undefined ? {} : { until }) }
    return this.#deps.matches.page(shard, this.#filter, args)
  }

  /** Saves what it is about to do, and does it: a server that continues repeats the step, or gets its answer. */
  async #step(signal: AbortSignal): Promise<boolean> {
    const delayMs = this.#pace.delayMs()
    if (delayMs > 0) {
      await sleep(Math.min(delayMs, SAVE_EVERY_MS), signal)
      return this.#saveNowAndThen()
    }
    if (await this.#save()) return true
    const { id, request, progress, cursor } = this.#run
    const { shard, pending } = cursor
    const step = { operation: id, number: cursor.step, mark: this.#mark }
    const { processed, ...counts } = await this.#deps.takeStep({
      shard,
      ids: pending,
      step,
      request,
      progress,
      by: this.#run.startedBy,
    })
    if (processed === 0) return true
    this.#pace.note(processed)
    this.#deps.metrics.operationStepped(request.action, counts.done, counts.failed)
    this.#run = {
      ...this.#run,
      progress: sum(progress, counts),
      cursor: { ...cursor, step: cursor.step + 1, pending: pending.slice(processed) },
    }
    if (this.#run.cursor.pending.length === 0) this.#skipEnded()
    return false
  }

  /** Keeps the lease, and learns of a stop. @returns whether this server is through with it */
  async #saveNowAndThen(): Promise<boolean> {
    return performance.now() - this.#savedAt >= SAVE_EVERY_MS ? this.#save() : false
  }

  async #save(
    state: 'running' | 'done' | 'failed' = 'running',
    reason = '',
    leaseMs = LEASE_MS,
  ): Promise<boolean> {
    const { id, progress, cursor } = this.#run
    const { matched, ...counts } = progress
    const fields = {
      ...counts,
      ...(matched === null ? {} : { matched }),
      ...(reason === '' ? {} : { reason }),
    }
    const { scripts, owner } = this.#deps
    const word = await scripts.save({
      ...{ id, owner, leaseMs, state, keptMs: KEPT_MS, fields },
      cursor: JSON.stringify(cursor),
    })
    this.#savedAt = performance.now()
    return word !== 'saved'
  }

  async #end(state: 'done' | 'failed', reason: string): Promise<true> {
    const isOver = await this.#save(state, reason)
    if (!isOver) {
      this.#deps.metrics.operationEnded(this.#run.request.action, state)
      this.#deps.onEnded(this.#run, state, reason)
    }
    return true
  }

  async fail(error: unknown): Promise<void> {
    // If even this is not saved, a server takes it over, and fails as this one did.
    await this.#end('failed', error instanceof Error ? error.message : String(error)).catch(() => undefined)
  }

  async leave(): Promise<void> {
    await this.#save('running', '', 0).catch(() => undefined)
  }
}

const COUNTED_AT_ONCE = 2_000

const sum = (a: Progress, b: Omit<Progress, 'matched'>): Progress => ({
  matched: a.matched,
  done: a.done + b.done,
  failed: a.failed + b.failed,
  claimed: a.claimed + b.claimed,
  gone: a.gone + b.gone,
  unreadable: a.unreadable + b.unreadable,
})
