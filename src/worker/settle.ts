import type { Logger } from 'pino'
import type { Delivery, Outcome } from '../destinations/delivery.ts'
import { serverOf } from '../domain/claim-token.ts'
import { SchedulerError } from '../domain/errors.ts'
import type { AttemptReport } from '../domain/message.ts'
import { aboutDelivery, aboutOutcome } from '../events/describe.ts'
import type { EventSink } from '../events/sink.ts'
import { recordTrimmed } from '../observability/claim-metrics.ts'
import type { Metrics } from '../observability/metrics.ts'
import { toIso } from '../runtime/iso-time.ts'
import { sleep } from '../runtime/sleep.ts'
import type { RedisClock } from '../store/redis-clock.ts'
import type { Delivered, Release, SettleScripts } from '../store/scripts/settle.ts'

const FIRST_RETRY_MS = 25
const LONGEST_RETRY_MS = 1_000

/** A delivery that has ended, and its outcome. */
export interface Settlement {
  readonly delivery: Delivery
  readonly outcome: Outcome
}

export interface SettleDeps {
  readonly scripts: Pick<SettleScripts, 'acknowledge' | 'release'>
  readonly logger: Logger
  readonly metrics: Pick<Metrics, 'delivered' | 'failed' | 'ended' | 'locksLost' | 'deadTrimmed'>
  readonly events: EventSink
  readonly clock: Pick<RedisClock, 'now'>
}

/**
 * Ends claims of one shard, each exactly once: the only caller of acknowledge and release for claims of servers.
 *
 * Both are repeated while Redis is away, as long as the locks last: a delivered message that is never
 * acknowledged is delivered again. Repeating is safe, because a call that ran has removed the locks.
 *
 * Never rejects: a claim that could not be settled is logged, and recovered by a later claim.
 *
 * @param lockEndsAt monotonic ms at which the locks end; nothing can be settled after that
 * @param signal aborted when the grace is over: no more repetitions
 */
export async function settle(
  deps: SettleDeps,
  shard: number,
  settlements: readonly Settlement[],
  lockEndsAt: () => number,
  signal: AbortSignal,
): Promise<void> {
  const delivered = settlements.filter(({ outcome }) => outcome.kind === 'delivered')
  const undelivered = settlements.filter(({ outcome }) => outcome.kind !== 'delivered')
  const retry: Retry = (call) => retryUntilAnswered(call, lockEndsAt, signal)
  await Promise.all([acknowledge(deps, shard, delivered, retry), release(deps, shard, undelivered, retry)])
}

type Retry = <T>(call: () => Promise<T>) => Promise<{ reply: T; repeated: boolean }>
type Step = (
  deps: SettleDeps,
  shard: number,
  settlements: readonly Settlement[],
  retry: Retry,
) => Promise<void>

const acknowledge: Step = async (deps, shard, settlements, retry) => {
  if (settlements.length === 0) return
  const { scripts, logger, metrics } = deps
  const delivered = settlements.map(toDelivered)
  try {
    const { reply, repeated } = await retry(() => scripts.acknowledge(shard, delivered))
    // After an unanswered call, a missing lock was most likely removed by that call.
    const lost = new Set(repeated ? [] : reply)
    if (lost.size > 0) recordLost(deps, shard, 'acknowledge', [...lost])
    const counts = new Map<string, { type: string; count: number }>()
    for (const settlement of settlements) {
      const { delivery, outcome } = settlement
      const { lane, destination } = delivery
      if (lost.has(delivery.id)) continue
      recordEnd(metrics, lane, outcome)
      if (deps.events.isListening) tell(deps, 'delivered', settlement)
      const counted = counts.get(lane)
      if (counted === undefined) counts.set(lane, { type: destination.type, count: 1 })
      else counted.count += 1
    }
    for (const [lane, { type, count }] of counts) metrics.delivered(type, count, lane)
  } catch (error) {
    logger.error(
      { shard, count: delivered.length, err: error },
      'could not acknowledge; messages will be delivered again',
    )
  }
}

const release: Step = async (deps, shard, settlements, retry) => {
  if (settlements.length === 0) return
  const { scripts, logger, metrics } = deps
  const releases = settlements.map(toRelease)
  try {
    const { reply, repeated } = await retry(() => scripts.release(shard, releases))
    recordTrimmed(deps, shard, reply.trimmed)
    const lost: string[] = []
    for (const [i, { delivery, outcome }] of settlements.entries()) {
      const word = reply.words[i]
      if (word === 'lost') lost.push(delivery.id)
      if (word === 'lost' || outcome.kind === 'returned' || outcome.kind === 'delivered') continue
      const { id, attempt, destination, lane } = delivery
      metrics.failed(destination.type, word === 'dead' ? 'dead' : 'retried', lane, outcome.reason)
      recordEnd(metrics, lane, outcome)
      if (deps.events.isListening)
        tell(deps, word === 'dead' ? 'dead' : 'failed', { delivery, outcome }, reply.nextAt[i])
      const then = word === 'dead' ? 'the message is a dead letter' : 'it will be retried'
      logger.warn({ id, reason: outcome.reason, attempt }, `delivery failed; ${then}`)
    }
    if (lost.length > 0 && !repeated) recordLost(deps, shard, 'release', lost)
  } catch (error) {
    logger.error(
      { shard, count: releases.length, err: error },
      'could not release; messages will be delivered again',
    )
  }
}

/** Reports of a webhook how long it took, and what was answered. */
function recordEnd(metrics: Pick<Metrics, 'ended'>, lane: string, outcome: Outcome): void {
  if (outcome.kind === 'delivered' && outcome.durationMs !== undefined)
    metrics.ended(lane, { code: String(outcome.status), durationMs: outcome.durationMs })
  else if (outcome.kind === 'failed' || outcome.kind === 'rejected') {
    const { reason, report } = outcome
    metrics.ended(lane, { code: String(report.status ?? reason), durationMs: report.durationMs })
  }
}

/** Of the console, the history has the time and the lateness alone: more costs it a tenth of its rate. */
function toDelivered({ delivery, outcome }: Settlement): Delivered {
  const { id, token, lateMs, claim, lane } = delivery
  if (lane === '') return { id, token, lateMs, attempt: '' }
  const { durationMs = '-', status = '-' } = outcome.kind === 'delivered' ? outcome : {}
  return { id, token, lateMs, attempt: `${claim} ${durationMs} ${status} ${serverOf(token) || '-'}` }
}

const reportText = (token: string, report: AttemptReport): string =>
  JSON.stringify({ ...report, server: serverOf(token) || undefined })

/** @param nextAt epoch ms */
function tell(
  { events, clock }: SettleDeps,
  type: 'delivered' | 'failed' | 'dead',
  { delivery, outcome }: Settlement,
  nextAt?: number,
): void {
  const next = nextAt === undefined ? {} : { nextAt: toIso(nextAt) }
  const event = { ...aboutDelivery(delivery), ...aboutOutcome(outcome, clock.now()), ...next }
  events.emit(type, event, delivery.payload)
}

function toRelease({ delivery, outcome }: Settlement): Release {
  const { id, token, attemptDueAt } = delivery
  switch (outcome.kind) {
    case 'failed': {
      const { reason, retryAfterMs = 0 } = outcome
      return { id, token, why: 'failed', retryAfterMs, reason, report: reportText(token, outcome.report) }
    }
    case 'rejected':
      return { id, token, why: 'rejected', reason: outcome.reason, report: reportText(token, outcome.report) }
    case 'returned':
    case 'delivered': // is acknowledged
      return { id, token, why: 'returned', dueAt: attemptDueAt }
    default:
      return outcome satisfies never
  }
}

function recordLost(
  { logger, metrics }: SettleDeps,
  shard: number,
  what: string,
  ids: readonly string[],
): void {
  metrics.locksLost(ids.length)
  logger.warn({ shard, ids: ids.slice(0, 10), count: ids.length }, `${what}: the claim was lost`)
}

async function retryUntilAnswered<T>(call: () => Promise<T>, until: () => number, signal: AbortSignal) {
  let repeated = false
  for (let wait = FIRST_RETRY_MS; ; wait = Math.min(wait * 2, LONGEST_RETRY_MS)) {
    try {
      return { reply: await call(), repeated }
    } catch (error) {
      // A missing permission may be granted while the locks last.
      const isTransient =
        error instanceof SchedulerError &&
        (error.code === 'STORE_UNAVAILABLE' || error.code === 'STORE_REFUSED')
      if (!isTransient || signal.aborted || performance.now() + wait >= until()) throw error
      if (error.outcomeUnknown) repeated = true
    }
    await sleep(wait, signal)
  }
}
