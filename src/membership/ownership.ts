import { fnv1a } from '../domain/fnv1a.ts'

/** How often all standby servers together check a shard, regardless of their number; half as often with many shards. */
const STANDBY_CHECK_MS = 150
const MANY_SHARDS = 16
/** Messages that are this late mean that the owner is overloaded or gone. */
const LATE_MS = 50
/**
 * A server that helped with reason helps longer the next time: the owner may hang, or have a console that nobody reads.
 */
const FIRST_HELP_MS = 5_000
const LONGEST_HELP_MS = 300_000
/** Servers that are asked for help claim this far apart on average. */
const HELP_STAGGER_MS = 0.2
/** Smaller claims would cost more than they help. */
const SMALLEST_SHARE = 100

/**
 * Decides which server claims from a shard at the due time. If every server woke for each message, each would make a
 * claim. So each shard has one owner, and the standby servers check it a little later. They wait a random time that
 * grows with their number, so that one of them checks within some tenths of a second. A server that finds messages
 * late, or is asked because more are due than one claim takes, helps: it claims at the due time for a while.
 *
 * The owner follows from the list of live servers by rendezvous hashing. Servers with the same list agree, and only the
 * shards of a server that joins or leaves change their owner. While lists differ, a shard may have two owners, or none
 * and is checked late.
 */
export interface ShardOwnership {
  /**
   * Sets the live servers that deliver, by id. A server whose console is blocked is not among them, even if it is this
   * one. Before the first call this server owns all shards.
   */
  record(workers: readonly string[]): void
  /** @returns how long to wait before claiming in a shard, ms: 0 for its owner and helpers, else random */
  standbyDelayMs(shard: number): number
  /**
   * With many claimers, each takes fewer messages at a time: Redis runs one call after another, and other commands wait
   * for a call of each server.
   *
   * @param most messages that a claim of this server alone would take
   * @returns how many to claim
   */
  batchShare(most: number): number
  /** Records how late the latest message of a claim was, ms. */
  observeLateness(shard: number, lateMs: number): void
  /** Helps in a shard with more due messages than one claim takes. @returns when to claim, ms; null if it helps */
  requestHelp(shard: number): number | null
}

/** @param shards the number of shards */
export function createShardOwnership(
  self: string,
  shards: () => number,
  random: () => number = Math.random,
): ShardOwnership {
  let others: readonly string[] = []
  let isMember = true
  const owned = new Map<number, boolean>()
  const helping = new Map<number, { until: number; ms: number }>()

  function isOwner(shard: number): boolean {
    let answer = owned.get(shard)
    if (answer === undefined) {
      const own = weightOf(self, shard)
      answer = others.length === 0 || (isMember && others.every((other) => weightOf(other, shard) < own))
      owned.set(shard, answer)
    }
    return answer
  }

  const isHelping = (shard: number) => (helping.get(shard)?.until ?? 0) > performance.now()
  const isClaiming = (shard: number) => isOwner(shard) || isHelping(shard)

  function help(shard: number): void {
    const before = helping.get(shard)?.ms ?? FIRST_HELP_MS / 2
    const ms = isHelping(shard) ? before : Math.min(before * 2, LONGEST_HELP_MS)
    helping.set(shard, { until: performance.now() + ms, ms })
  }

  return {
    record(workers) {
      const same = others.length === workers.length - 1 && others.every((id) => workers.includes(id))
      if (same && isMember) return
      others = workers.filter((id) => id !== self)
      isMember = others.length < workers.length
      owned.clear()
      helping.clear()
    },
    standbyDelayMs(shard) {
      if (isClaiming(shard)) return 0
      const apartMs = shards() < MANY_SHARDS ? STANDBY_CHECK_MS : 2 * STANDBY_CHECK_MS
      return 2 * apartMs * others.length * random()
    },
    batchShare: (most) => Math.min(most, Math.max(SMALLEST_SHARE, Math.ceil(most / (others.length + 1)))),
    observeLateness(shard, lateMs) {
      if (lateMs > LATE_MS && !isOwner(shard)) help(shard)
    },
    requestHelp(shard) {
      if (isClaiming(shard)) return null
      help(shard)
      return HELP_STAGGER_MS * others.length * random()
    },
  }
}

/** The spread of FNV is in its low bits, and servers are compared by the high ones first. */
const weightOf = (id: string, shard: number): number => {
  const hash = fnv1a(`${id}:${shard}`)
  return Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 0
}
