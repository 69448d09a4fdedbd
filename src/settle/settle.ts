import type { Logger } from 'pino'
import type { Delivery, Outcome } from '../deliver/deliver.ts'
import { SchedulerError } from '../errors.ts'
import type { Delivered, Release, Scripts } from '../redis/scripts.ts'
import { sleep } from '../sleep.ts'
import { retryDelayMs } from './retry-delay.ts'

const FIRST_RETRY_MS = 25
const LONGEST_RETRY_MS = 1_000

export interface Settlement {
  readonly shard: number
  readonly token: string
  readonly deliveries: readonly Delivery[]
  readonly outcomes: readonly Outcome[]
  /** messages whose record makes no sense, not delivered */
  readonly unreadable?: readonly Unreadable[]
  /** monotonic ms at which the locks end: later, nothing can be settled */
  readonly lockEndsAt: number
}

export interface Unreadable {
  readonly id: string
  readonly failures: number
}

export interface SettleDeps {
  readonly scripts: Pick<Scripts, 'acknowledge' | 'release'>
  readonly logger: Logger
}

/**
 * Ends claims, each exactly once: the only caller of acknowledge and release.
 *
 * Both are repeated while Redis is away, as long as the locks last: a delivered message that is never
 * acknowledged is delivered again. Repeating is safe, for a call that did run has left no lock behind.
 *
 * Never rejects: what could not be settled is logged, and recovered by whichever server claims next.
 *
 * @param signal aborted when the service ends now: no more repeating
 */
export async function settle(
  { scripts, logger }: SettleDeps,
  { shard, token, deliveries, outcomes, unreadable = [], lockEndsAt }: Settlement,
  signal: AbortSignal,
): Promise<void> {
  const delivered: Delivered[] = []
  const releases: Release[] = []
  for (const [i, delivery] of deliveries.entries()) {
    const outcome: Outcome = outcomes[i] ?? { kind: 'returned' }
    switch (outcome.kind) {
      case 'delivered':
        delivered.push({ id: delivery.id, lateMs: delivery.lateMs })
        break
      case 'failed':
        releases.push({ id: delivery.id, why: 'failed', retryInMs: retryDelayMs(delivery.failures + 1) })
        logger.warn({ id: delivery.id, reason: outcome.reason, attempt: delivery.attempt }, 'delivery failed')
        break
      case 'returned':
        releases.push({ id: delivery.id, why: 'returned', dueAt: delivery.attemptDueAt })
        break
      default:
        outcome satisfies never
    }
  }
  for (const { id, failures } of unreadable) {
    releases.push({ id, why: 'failed', retryInMs: retryDelayMs(failures + 1) })
    logger.error({ id }, 'the record of a message cannot be read')
  }
  const settleOne = async (what: string, ids: number, call: () => Promise<string[]>) => {
    if (ids === 0) return
    try {
      const { lost, repeated } = await untilAnswered(call, lockEndsAt, signal)
      // After an unanswered call, a lock that is gone is most likely our own work.
      if (lost.length > 0 && !repeated) {
        logger.warn({ shard, ids: lost.slice(0, 10), count: lost.length }, `${what} lost its claim`)
      }
    } catch (error) {
      logger.error({ shard, count: ids, err: error }, `could not ${what}; to be delivered again`)
    }
  }
  await Promise.all([
    settleOne('acknowledge', delivered.length, () => scripts.acknowledge(shard, { token, delivered })),
    settleOne('release', releases.length, () => scripts.release(shard, { token, releases })),
  ])
}

async function untilAnswered(call: () => Promise<string[]>, until: number, signal: AbortSignal) {
  for (
    let repeated = false, wait = FIRST_RETRY_MS;
    ;
    repeated = true, wait = Math.min(wait * 2, LONGEST_RETRY_MS)
  ) {
    try {
      return { lost: await call(), repeated }
    } catch (error) {
      const passing = error instanceof SchedulerError && error.code === 'STORE_UNAVAILABLE'
      if (!passing || signal.aborted || performance.now() + wait >= until) throw error
    }
    await sleep(wait, signal)
  }
}
