import { parseServerMadeId, shardOfClientId } from '../domain/message-id.ts'
import { RAISE_DELAY_MS, type ShardCount, type ShardCounts } from '../store/scripts/shard-counts.ts'

/**
 * An old number ends when the new one begins, by the clock of the Redis that stores. The new one is used this much
 * later, as each master of a cluster has its own clock.
 */
const CLOCK_TOLERANCE_MS = 500

/** Where a new message with a client-made id goes. */
export interface Placement {
  readonly shard: number
  /** the other shards that may have it, from times with fewer shards */
  readonly others: readonly number[]
  /** by Redis's clock, epoch ms: later it must not be stored there, as it may belong elsewhere */
  readonly validUntil: number
}

/** The number of shards, and which of them may hold a message. */
export interface ShardMap {
  /** how many shards may hold messages; a search covers all of them */
  readonly all: number
  /** how many shards new messages go to; fewer than all, for a while, after they were raised */
  readonly writable: number
  /** whether the numbers that Redis has recorded are known */
  readonly isRecorded: boolean
  /** Sets the numbers that Redis has recorded. */
  record(recorded: ShardCounts): void
  /**
   * @returns the shard a message is in: for a server-made id the one it names, for a client-made one that of its
   *   hash, followed by those it had while there were fewer shards, newest first
   */
  shardsOf(id: string): readonly number[]
  /** @returns where to store a client-made id; undefined while the number changes: ask again soon */
  placementOf(id: string): Placement | undefined
  /** @param listener called each time `all` has grown */
  onGrow(listener: () => void): void
}

/**
 * @param shards the number this server was started with; used until Redis has told of more
 * @param now Redis's clock as last read, epoch ms; it may be behind
 */
export function createShardMap(shards: number, now: () => number): ShardMap {
  const listeners: (() => void)[] = []
  let all = shards
  let newestFirst: readonly number[] = [shards]
  // Until the number is known, new messages go to shard 0, which always exists.
  let counts: readonly ShardCount[] = [{ count: 1, from: 0 }]
  let isRecorded = false
  let knownUntil = 0

  const countAt = (at: number) =>
    counts.findLast(({ from }) => from === 0 || from + CLOCK_TOLERANCE_MS <= at)?.count ?? 1

  function shardsOf(id: string): readonly number[] {
    const serverMade = parseServerMadeId(id)
    if (serverMade !== undefined) return serverMade.shard < all ? [serverMade.shard] : []
    return [...new Set(newestFirst.map((count) => shardOfClientId(id, count)))]
  }

  return {
    get all() {
      return all
    },
    get writable() {
      return countAt(now())
    },
    get isRecorded() {
      return isRecorded
    },
    record(recorded) {
      isRecorded = true
      counts = recorded.counts
      knownUntil = recorded.now + RAISE_DELAY_MS
      // Known numbers stay: a Redis that has lost them may still hold the messages.
      const known = new Set([...newestFirst, ...counts.map(({ count }) => count)])
      newestFirst = [...known].sort((a, b) => b - a)
      const before = all
      all = newestFirst[0] ?? all
      if (all > before) for (const listener of listeners) listener()
    },
    shardsOf,
    placementOf(id) {
      const at = now()
      const used = countAt(at)
      const shard = shardOfClientId(id, used)
      let validUntil = knownUntil
      for (const { count, from } of counts) {
        if (count <= used || shardOfClientId(id, count) === shard) continue
        if (from <= at) return undefined
        validUntil = Math.min(validUntil, from)
      }
      const others = newestFirst.length === 1 ? [] : shardsOf(id).filter((other) => other !== shard)
      return { shard, others, validUntil }
    },
    onGrow: (listener) => void listeners.push(listener),
  }
}
