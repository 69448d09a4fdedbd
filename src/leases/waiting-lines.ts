import { failedImmediately } from '../domain/errors.ts'
import { LONGEST_TIMER_MS } from '../runtime/sleep.ts'
import type { ShardMap } from '../shards/shard-map.ts'

/** One claim in one shard on behalf of a worker. */
type ClaimIn<T> = (
  shard: number,
  lane: string,
  order: { limit: number; lockMs: number },
) => Promise<{ claimed: readonly T[] } & ShardPeek>

/** What a claim tells of its shard. */
interface ShardPeek {
  /** ms until the next message of the lanes asked about is due; null for none */
  readonly nextDueInMs: number | null
  /** ms until the first lock ends, whoever holds it and whatever for; null for none */
  readonly expiryInMs: number | null
}

export interface WaitingLinesDeps<T> {
  readonly shardMap: Pick<ShardMap, 'all' | 'onGrow'>
  readonly claimIn: ClaimIn<T>
  /** Takes back what was claimed for a worker who has gone meanwhile. */
  readonly putBack: (claimed: readonly T[]) => void
  /** Asks once in one shard for the next message of any of these lanes. */
  readonly peek: (shard: number, lanes: readonly string[]) => Promise<ShardPeek>
}

/**
 * Workers that wait, in line for each lane. However many they are, they cost Redis nothing but one look a second over
 * all: when something becomes due is told by the claims before, and by publish.
 */
export interface WaitingLines<T> {
  /**
   * @param signal aborted when the worker has gone
   * @returns nothing when nothing came in time
   * @throws SchedulerError when Redis did not answer
   */
  wait(
    lane: string,
    order: { limit: number; lockMs: number },
    waitMs: number,
    signal: AbortSignal,
  ): Promise<readonly T[]>
  /** Something becomes due in a lane. */
  wake(shard: number, inMs: number, lane: string): void
  /** Something may have been missed. */
  wakeAll(): void
}

/** The safety net for what was not heard. */
const LOOK_MS = 1_000
/** Two answers that lie no further apart may speak of the same message: each took its time to come. */
const SAME_WITHIN_MS = 50

interface Waiter<T> {
  readonly order: { readonly limit: number; readonly lockMs: number }
  readonly resolve: (claimed: readonly T[]) => void
  readonly reject: (error: unknown) => void
}

interface Line<T> {
  readonly lane: string
  readonly waiters: Set<Waiter<T>>
  /** for each shard when its next message is due, monotonic ms; Infinity for never as far as is known */
  readonly dueAt: number[]
  /** shards that refused the last claim */
  readonly refusing: Set<number>
  /** where it claims just now, if anywhere; what a look sees there is perhaps just what is being claimed */
  claimingIn: number | null
  timer?: NodeJS.Timeout
}

export function createWaitingLines<T>({
  shardMap,
  claimIn,
  putBack,
  peek,
}: WaitingLinesDeps<T>): WaitingLines<T> {
  const lines = new Map<string, Line<T>>()
  let peekTimer: NodeJS.Timeout | undefined
  let nextPeek = 0
  let peeks = 0
  /** for each shard when its first lock ends, as last heard of, monotonic ms */
  const lockEndsAt = new Map<number, number>()
  let joined = 0

  /** Gives what is due to those who wait, first come first served, with one claim at a time. */
  async function serve(line: Line<T>): Promise<void> {
    clearTimeout(line.timer)
    if (line.claimingIn !== null) return
    for (;;) {
      const [waiter] = line.waiters
      // The one that has been due for longest, so that a backlog in one shard keeps nobody from the others.
      const dueAt = Math.min(...line.dueAt)
      const shard = line.dueAt.indexOf(dueAt)
      if (waiter === undefined || dueAt > performance.now()) break
      // What is heard from here on is newer than the claim's answer.
      line.dueAt[shard] = Number.POSITIVE_INFINITY
      line.claimingIn = shard
      try {
        const { claimed, nextDueInMs, expiryInMs } = await claimIn(shard, line.lane, waiter.order)
        noteLocks(shard, expiryInMs)
        line.refusing.delete(shard)
        if (nextDueInMs !== null) soon(line, shard, nextDueInMs)
        if (claimed.length === 0) continue
        if (line.waiters.has(waiter)) waiter.resolve(claimed)
        else putBack(claimed)
      } catch (error) {
        soon(line, shard, LOOK_MS)
        if (failedImmediately(error)) line.refusing.add(shard)
        // One lost master of a cluster turns nobody away from what the other shards may bring.
        if (failedImmediately(error) && line.refusing.size < shardMap.all) continue
        waiter.reject(error)
      }
      line.waiters.delete(waiter)
    }
    line.claimingIn = null
    if (line.waiters.size === 0) forget(line)
    else arm(line)
  }

  function soon(line: Line<T>, shard: number, inMs: number): void {
    line.dueAt[shard] = Math.min(line.dueAt[shard] ?? Number.POSITIVE_INFINITY, performance.now() + inMs)
  }

  function arm(line: Line<T>): void {
    clearTimeout(line.timer)
    const inMs = Math.ceil(Math.min(...line.dueAt) - performance.now())
    line.timer = setTimeout(() => void serve(line), Math.min(Math.max(0, inMs), LONGEST_TIMER_MS))
  }

  function forget(line: Line<T>): void {
    clearTimeout(line.timer)
    if (lines.get(line.lane) === line) lines.delete(line.lane)
    if (lines.size > 0) return
    clearInterval(peekTimer)
    peekTimer = undefined
  }

  function noteLocks(shard: number, expiryInMs: number | null): void {
    if (expiryInMs === null) lockEndsAt.delete(shard)
    else lockEndsAt.set(shard, performance.now() + expiryInMs)
  }

  /**
   * Nobody publishes that a lock has ended, and in turn many shards would take long to come to that one: every other
   * look goes where one has ended as far as is known, the longest ago first.
   */
  function shardToLookInto(): number {
    peeks += 1
    const ended = [...lockEndsAt].filter(([, at]) => at <= performance.now()).sort(([, a], [, b]) => a - b)
    const [first] = ended
    if (first !== undefined && peeks % 2 === 0) return first[0]
    const shard = nextPeek
    nextPeek = (nextPeek + 1) % shardMap.all
    return shard
  }

  async function checkNext(): Promise<void> {
    const shard = shardToLookInto()
    const seen = await peek(shard, [...lines.keys()]).catch(() => null)
    if (seen === null) return
    noteLocks(shard, seen.expiryInMs)
    const inMs = seen.nextDueInMs
    if (inMs === null) return
    // Whose it is the look does not tell. If none of them knows of it yet, each has to see for itself.
    const knownBy = performance.now() + inMs + SAME_WITHIN_MS
    const all = [...lines.values()]
    if (all.some((line) => line.claimingIn === shard || (line.dueAt[shard] ?? 0) <= knownBy)) return
    for (const line of all) {
      soon(line, shard, inMs)
      arm(line)
    }
  }

  function join(lane: string): Line<T> {
    let line = lines.get(lane)
    if (line === undefined) {
      // Due at once in every shard, each time in another one first.
      const shards = shardMap.all
      const dueAt = Array.from({ length: shards }, (_, shard) => ((shard + joined) % shards) - shards)
      joined += 1
      line = { lane, waiters: new Set(), dueAt, refusing: new Set(), claimingIn: null }
      lines.set(lane, line)
      peekTimer ??= setInterval(() => void checkNext(), LOOK_MS)
    }
    return line
  }

  shardMap.onGrow(() => {
    for (const line of lines.values()) {
      while (line.dueAt.length < shardMap.all) line.dueAt.push(0)
      if (line.claimingIn === null) arm(line)
    }
  })

  return {
    wait(lane, order, waitMs, signal) {
      if (signal.aborted) return Promise.resolve([])
      return new Promise((resolve, reject) => {
        const line = join(lane)
        const leave = () => {
          end()
          if (!line.waiters.delete(waiter)) return
          resolve([])
          if (line.waiters.size === 0 && line.claimingIn === null) forget(line)
        }
        const timer = setTimeout(leave, waitMs)
        signal.addEventListener('abort', leave)
        const end = () => {
          clearTimeout(timer)
          signal.removeEventListener('abort', leave)
        }
        const waiter: Waiter<T> = {
          order,
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
        void serve(line)
      })
    },
    wake(shard, inMs, lane) {
      const line = lines.get(lane)
      if (line === undefined || shard >= line.dueAt.length) return
      soon(line, shard, inMs)
      if (line.claimingIn === null) arm(line)
    },
    wakeAll() {
      for (const line of lines.values()) {
        line.dueAt.fill(0)
        if (line.claimingIn === null) arm(line)
      }
    },
  }
}
