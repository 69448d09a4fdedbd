import { fnv1a } from '../domain/fnv1a.ts'

/**
 * What all others together, be they many or few, look into a shard that is not theirs: about once in so long, and half as
 * often where there are many shards.
 */
const STANDBY_CHECK_MS = 150
const MANY_SHARDS = 16
/** Messages that are found to have waited so long are too many for the one on duty, or it is no more. */
const LATE_MS = 50
/** Who was right to help helps for longer the next time, as whoever is on duty may hang, or have a console that nobody reads. */
const FIRST_HELP_MS = 5_000
const LONGEST_HELP_MS = 300_000
/** Those who are called come one after the other, so far apart. */
const HELP_STAGGER_MS = 0.2
/** Fewer messages a claim would cost more than they help. */
const SMALLEST_SHARE = 100

/**
 * Which server claims a shard's messages at the moment they are due. If all that deliver woke for each message, it would
 * cost a claim for every server there is; so for each shard one is on duty, and the others look a little later whether
 * there is something left. They look after a random time, the longer the more of them there are, so that whatever their
 * number somebody has looked after some tenths of a second. Whoever finds messages late, or is called because more
 * are due than one claim takes, helps: claims, for a while, at the moment they are due.
 *
 * Who is on duty follows from who is alive, by rendezvous hashing: servers that know of the same others agree, and when
 * one comes or goes only its own shards change hands. While they do not agree, a shard has two on duty, or none and is
 * looked into late.
 */
export interface ShardOwnership {
  /**
   * Takes over who is alive and delivers, by id; one whose own console takes nothing is not among them, though it may be
   * this server. Until then it is on duty everywhere.
   */
  record(workers: readonly string[]): void
  /** @returns for how long to leave what is due in a shard to others, ms: 0 on duty and while helping, else random */
  standbyDelayMs(shard: number): number
  /**
   * Where many claim, each takes fewer at a time: Redis does one call after the other, and what else is asked of it waits
   * behind a call of each.
   *
   * @param most messages a claim of this server alone would take @returns how many to claim
   */
  batchShare(most: number): number
  /** Takes note of by how many ms the latest message that was just claimed in a shard was late. */
  observeLateness(shard: number, lateMs: number): void
  /** Helps in a shard in which more is due than one claim takes. @returns how soon to come, ms; null when it is there */
  requestHelp(shard: number): number | null
}

/** @param shards how many there are */
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
