import { failedImmediately } from '../domain/errors.ts'
import { LONGEST_TIMER_MS } from '../runtime/sleep.ts'
import type { ShardMap } from '../shards/shard-map.ts'
import { ShardSchedule } from '../shards/shard-schedule.ts'
import type { PeekReply } from '../store/scripts/claim.ts'

/** The request of a worker. */
export interface Order {
  readonly limit: number
  readonly lockMs: number
}

/** The claimed messages, and what the claim reports about its shard. */
export interface Found<T> {
  readonly claimed: readonly T[]
  /** ms until the next message of the lane is due; null if there is none */
  readonly nextDueInMs: number | null
  /** ms until the first lock of the shard ends, of any lane and holder; null if there is none */
  readonly expiryInMs: number | null
}

export interface WaitingLinesDeps<T> {
  readonly shardMap: Pick<ShardMap, 'all' | 'onGrow'>
  /** Claims once in one shard for a worker. */
  readonly claimIn: (shard: number, lane: string, order: Order) => Promise<Found<T>>
  /** Asks a shard when the next message of each lane is due. */
  readonly peek: (shard: number, lanes: readonly string[]) => Promise<PeekReply>
}

/** A safety net for missed wakes. */
const PEEK_MS = 1_000

interface Waiter<T> {
  readonly order: Order
  /** its wait has ended: it gets what the claim in flight returns, and no other */
  isLeaving: boolean
  readonly resolve: (claimed: readonly T[]) => void
  readonly reject: (error: unknown) => void
}

interface Line<T> {
  readonly lane: string
  readonly waiters: Set<Waiter<T>>
  /** when its next message in each shard is due, as far as known */
  readonly schedule: ShardSchedule
  /** shards that refused the last claim */
  readonly refusing: Set<number>
  /** the shard of the claim in flight, or null; a peek there may see messages that are being claimed */
  claimingIn: number | null
  /** for whom it is */
  claimingFor: Waiter<T> | null
  timer?: NodeJS.Timeout
}

/**
 * A queue of waiting workers for each lane. However many wait, they cost Redis one peek per second in total: earlier
 * claims and published wakes tell when a message becomes due.
 */
export class WaitingLines<T> {
  readonly #deps: WaitingLinesDeps<T>
  readonly #lines = new Map<string, Line<T>>()
  /** for each shard, when its first lock ends as last read, monotonic ms */
  readonly #lockEndsAt = new Map<number, number>()
  #peeking: NodeJS.Timeout | undefined
  #peeks = 0
  #nextPeek = 0
  #joined = 0

  constructor(deps: WaitingLinesDeps<T>) {
    this.#deps = deps
    deps.shardMap.onGrow(() => {
      for (const line of this.#lines.values()) {
        line.schedule.grow(deps.shardMap.all)
        this.#arm(line)
      }
    })
  }

  /**
   * @param signal aborted when the worker waits no longer
   * @returns what was claimed for it, also by a claim that was in flight when its wait ended
   * @throws SchedulerError when Redis did not answer
   */
  wait(lane: string, order: Order, waitMs: number, signal: AbortSignal): Promise<readonly T[]> {
    if (signal.aborted) return Promise.resolve([])
    return new Promise((resolve, reject) => {
      const line = this.#join(lane)
      const leave = () => {
        end()
        // Its messages would else be put back, and other workers wait for that.
        waiter.isLeaving = true
        if (line.claimingFor === waiter || !line.waiters.delete(waiter)) return
        resolve([])
        if (line.waiters.size === 0 && line.claimingIn === null) this.#forget(line)
      }
      const timer = setTimeout(leave, waitMs)
      signal.addEventListener('abort', leave)
      const end = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', leave)
      }
      const waiter: Waiter<T> = {
        order,
        isLeaving: false,
        resolve(claimed) {
          end()
          resolve(claimed)
        },
        reject(error) {
          end()
          reject(error)
        },
      }
      line.waiters.add(waiter)
      void this.#serve(line)
    })
  }

  /** A message becomes due in a lane. */
  wake(shard: number, inMs: number, lane: string): void {
    const line = this.#lines.get(lane)
    if (line !== undefined) this.#soon(line, shard, inMs)
  }

  /** Wakes may have been missed. */
  wakeAll(): void {
    for (const line of this.#lines.values()) {
      line.schedule.allDue()
      this.#arm(line)
    }
  }

  #join(lane: string): Line<T> {
    let line = this.#lines.get(lane)
    if (line === undefined) {
      // Each shard is due immediately; each line begins with another shard.
      const shards = this.#deps.shardMap.all
      const first = this.#joined
      const schedule = new ShardSchedule(shards, (shard) => ((shard + first) % shards) - shards)
      line = { lane, waiters: new Set(), schedule, refusing: new Set(), claimingIn: null, claimingFor: null }
      this.#joined += 1
      this.#lines.set(lane, line)
      this.#peeking ??= setInterval(() => void this.#peek(), PEEK_MS)
    }
    return line
  }

  /** Claims for the waiting workers in order of arrival, one claim at a time. */
  async #serve(line: Line<T>): Promise<void> {
    clearTimeout(line.timer)
    if (line.claimingIn !== null) return
    for (;;) {
      const [waiter] = line.waiters
      const shard = waiter === undefined ? undefined : line.schedule.takeNext()
      if (waiter === undefined || shard === undefined) break
      line.claimingIn = shard
      line.claimingFor = waiter
      const hasAnswer = await this.#claim(line, shard, waiter)
      if (!hasAnswer && waiter.isLeaving) waiter.resolve([])
      if (hasAnswer || waiter.isLeaving) line.waiters.delete(waiter)
    }
    line.claimingIn = null
    line.claimingFor = null
    if (line.waiters.size === 0) this.#forget(line)
    else this.#arm(line)
  }

  /** @returns whether the waiter has its answer */
  async #claim(line: Line<T>, shard: number, waiter: Waiter<T>): Promise<boolean> {
    const { claimIn, shardMap } = this.#deps
    try {
      const { claimed, nextDueInMs, expiryInMs } = await claimIn(shard, line.lane, waiter.order)
      this.#recordLocks(shard, expiryInMs)
      line.refusing.delete(shard)
      if (nextDueInMs !== null) line.schedule.soon(shard, nextDueInMs)
      if (claimed.length === 0) return false
      waiter.resolve(claimed)
    } catch (error) {
      line.schedule.soon(shard, PEEK_MS)
      if (failedImmediately(error)) line.refusing.add(shard)
      // If one master of a cluster is lost, workers still wait for messages of other shards.
      if (failedImmediately(error) && line.refusing.size < shardMap.all) return false
      waiter.reject(error)
    }
    return true
  }

  #soon(line: Line<T>, shard: number, inMs: number): void {
    line.schedule.soon(shard, inMs)
    this.#arm(line)
  }

  #arm(line: Line<T>): void {
    if (line.claimingIn !== null) return
    clearTimeout(line.timer)
    const inMs = Math.ceil(Math.max(0, line.schedule.nextInMs))
    line.timer = setTimeout(() => void this.#serve(line), Math.min(inMs, LONGEST_TIMER_MS))
  }

  #forget(line: Line<T>): void {
    clearTimeout(line.timer)
    if (this.#lines.get(line.lane) === line) this.#lines.delete(line.lane)
    if (this.#lines.size > 0) return
    clearInterval(this.#peeking)
    this.#peeking = undefined
  }

  #recordLocks(shard: number, expiryInMs: number | null): void {
    if (expiryInMs === null) this.#lockEndsAt.delete(shard)
    else this.#lockEndsAt.set(shard, performance.now() + expiryInMs)
  }

  /**
   * The end of a lock is not published, and polling many shards in turn takes long. So every other peek goes to the
   * shard whose lock ended first, as far as known.
   */
  #shardToPeekInto(): number {
    this.#peeks += 1
    const ended = [...this.#lockEndsAt]
      .filter(([, at]) => at <= performance.now())
      .sort(([, a], [, b]) => a - b)
    const [first] = ended
    if (first !== undefined && this.#peeks % 2 === 0) return first[0]
    const shard = this.#nextPeek
    this.#nextPeek = (this.#nextPeek + 1) % this.#deps.shardMap.all
    return shard
  }

  async #peek(): Promise<void> {
    const shard = this.#shardToPeekInto()
    const lines = [...this.#lines.values()]
    const seen = await this.#deps.peek(shard, [...this.#lines.keys()]).catch(() => null)
    if (seen === null) return
    this.#recordLocks(shard, seen.expiryInMs)
    for (const [i, line] of lines.entries()) {
      const inMs = seen.nextDueInMs[i] ?? null
      if (inMs !== null && line.claimingIn !== shard && line.waiters.size > 0) this.#soon(line, shard, inMs)
    }
    // Any claim there recovers expired claims of all lanes.
    const [line] = this.#lines.values()
    if (seen.expiryInMs === 0 && line !== undefined) this.#soon(line, shard, 0)
  }
}
