import type { ClockStore, ShardLook } from '../store/scripts/test-clock.ts'

/** Servers that were not heard of are asked for again after this time; a dead one counts as alive until then. */
const MEMBERS_FOR_MS = 500
const FIRST_WAIT_MS = 1
const LONGEST_WAIT_MS = 20
/** What is due for longer may have been missed: all servers look again. */
const MISSED_AFTER_MS = 100

/** All shards together, and each of them. */
export interface Look extends Omit<ShardLook, 'nextLanes'> {
  readonly shards: readonly ShardLook[]
}

export interface SettledDeps {
  readonly store: Pick<ClockStore, 'look' | 'hold'>
  readonly shards: () => number
  /** ids of the live servers */
  readonly members: () => Promise<string[]>
  /** all claimers of this server look for due messages now */
  readonly wakeAll: () => void
  /** the listener is called when messages of this server were settled */
  readonly onSettled: (listener: () => void) => void
}

export type Settled = ReturnType<typeof createSettled>

/** Looks whether everything that is due has been delivered. */
export function createSettled({ store, shards, members, wakeAll, onSettled }: SettledDeps) {
  let known: readonly string[] = []
  let askedAt = Number.NEGATIVE_INFINITY
  let ring: (() => void) | undefined
  onSettled(() => ring?.())

  async function liveServers(maxAgeMs = MEMBERS_FOR_MS): Promise<readonly string[]> {
    if (performance.now() - askedAt > maxAgeMs) {
      known = await members()
      askedAt = performance.now()
    }
    return known
  }

  async function look(): Promise<Look> {
    const servers = await liveServers()
    const all = await Promise.all(Array.from({ length: shards() }, (_, shard) => store.look(shard, servers)))
    const sum = (of: (each: ShardLook) => number) => all.reduce((total, each) => total + of(each), 0)
    const nextAt = Math.min(...all.map((each) => each.nextAt))
    return {
      due: sum(({ due }) => due),
      inFlight: sum(({ inFlight }) => inFlight),
      forPull: sum(({ forPull }) => forPull),
      pending: sum(({ pending }) => pending),
      nextDue: sum((each) => (each.nextAt === nextAt ? each.nextDue : 0)),
      nextMessageAt: Math.min(...all.map((each) => each.nextMessageAt)),
      ...{ nextAt, shards: all },
    }
  }

  /** Waits until a message of this server is settled, at most this long. */
  const somethingSettled = (ms: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      ring = () => {
        clearTimeout(timer)
        setImmediate(resolve)
      }
    })

  return {
    look,
    liveServers,
    /**
     * @param endsAt monotonic ms at which it gives up
     * @param pullWaitMs how long it waits for pull workers to finish what is due for them
     * @returns the last look, and whether nothing is due and nothing in flight
     */
    async wait(endsAt: number, pullWaitMs: number): Promise<Look & { isSettled: boolean }> {
      const pullEndsAt = performance.now() + pullWaitMs
      let missedAt = performance.now() + MISSED_AFTER_MS
      let heldAt = performance.now()
      for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
        const seen = await look()
        const now = performance.now()
        const waitsForPull = seen.forPull > 0 && now < pullEndsAt
        if (seen.due === 0 && seen.inFlight === 0 && !waitsForPull) return { ...seen, isSettled: true }
        if (now >= endsAt) return { ...seen, isSettled: false }
        if (seen.due > 0 && now >= missedAt) {
          wakeAll()
          missedAt = now + MISSED_AFTER_MS
        }
        if (now - heldAt > MEMBERS_FOR_MS) {
          heldAt = now
          await store.hold()
        }
        await somethingSettled(waitMs)
      }
    },
  }
}
