import type { Logger } from 'pino'
import type { Delivery } from '../destinations/delivery.ts'
import type { Metrics } from '../observability/metrics.ts'
import { Cancellation, type CancelSignal } from '../runtime/cancel-signal.ts'
import { groupBy } from '../runtime/group-by.ts'
import type { SettleScripts } from '../store/scripts/settle.ts'

/** A lock is extended after a third of its time; checks are frequent enough to notice a lost lock in time. */
const CHECKS_PER_LOCK = 12
const EXTEND_BELOW = 2 / 3
const CALL_LOCKS = 500

interface KeptLock {
  /** aborted when the lock is lost: the message may belong to another server */
  readonly lost: CancelSignal
  /** monotonic ms at which the lock ends unless it is extended again */
  endsAt(): number
  /** Stops extending: the claim is settled. */
  release(): void
}

/** Extends the locks of deliveries in flight, in batches. */
export interface LockKeeper {
  /** @param endsAt monotonic ms (`performance.now()`), at or before the real end of the lock */
  keep(delivery: Delivery, endsAt: number): KeptLock
}

export interface LockKeeperDeps {
  readonly scripts: Pick<SettleScripts, 'extend'>
  readonly lockMs: number
  readonly logger: Logger
  readonly metrics: Pick<Metrics, 'locksLost'>
}

interface Kept {
  readonly delivery: Delivery
  readonly lost: Cancellation
  endsAt: number
  extending: boolean
}

export function createLockKeeper({ scripts, lockMs, logger, metrics }: LockKeeperDeps): LockKeeper {
  const all = new Set<Kept>()
  let timer: NodeJS.Timeout | undefined

  function markLost(lost: readonly Kept[], why: string): void {
    if (lost.length === 0) return
    metrics.locksLost(lost.length)
    logger.warn({ ids: lost.slice(0, 10).map(({ delivery }) => delivery.id), count: lost.length }, why)
    for (const kept of lost) {
      stopKeeping(kept)
      kept.lost.abort()
    }
  }

  async function extend(shard: number, batch: readonly Kept[]): Promise<void> {
    // Taken before the call, so that the locks cannot end earlier than computed.
    const sentAt = performance.now()
    for (const kept of batch) kept.extending = true
    try {
      const held = batch.map(({ delivery: { id, token } }) => ({ id, token }))
      const lost = new Set(await scripts.extend(shard, { held, lockMs }))
      // A claim that was just settled is not lost: its holder stops keeping the lock within this turn.
      await new Promise((resolve) => setImmediate(resolve))
      for (const kept of batch) if (!lost.has(kept.delivery.id)) kept.endsAt = sentAt + lockMs
      markLost(
        batch.filter((kept) => lost.has(kept.delivery.id) && all.has(kept)),
        'locks were lost; cancelling the deliveries',
      )
    } catch {
      // Redis is away: the next check tries again, as long as the locks last.
    } finally {
      for (const kept of batch) kept.extending = false
    }
  }

  function check(): void {
    const now = performance.now()
    markLost(
      [...all].filter(({ endsAt }) => endsAt <= now),
      'locks expired because Redis did not extend them; cancelling the deliveries',
    )
    const due = [...all].filter(
      ({ extending, endsAt }) => !extending && endsAt - now <= lockMs * EXTEND_BELOW,
    )
    for (const [shard, batch] of groupBy(due, ({ delivery }) => delivery.shard)) {
      for (let i = 0; i < batch.length; i += CALL_LOCKS) void extend(shard, batch.slice(i, i + CALL_LOCKS))
    }
  }

  function stopKeeping(kept: Kept): void {
    all.delete(kept)
    if (all.size > 0) return
    clearInterval(timer)
    timer = undefined
  }

  return {
    keep(delivery, endsAt) {
      const kept: Kept = { delivery, lost: new Cancellation(), endsAt, extending: false }
      all.add(kept)
      timer ??= setInterval(check, lockMs / CHECKS_PER_LOCK)
      return {
        lost: kept.lost,
        endsAt: () => kept.endsAt,
        release: () => stopKeeping(kept),
      }
    },
  }
}
