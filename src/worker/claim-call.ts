import type { Logger } from 'pino'
import type { EventSink } from '../events/sink.ts'
import { recordClaimMetrics } from '../observability/claim-metrics.ts'
import type { Metrics } from '../observability/metrics.ts'
import type { RedisClock } from '../store/redis-clock.ts'
import type { Claim, ClaimArgs, ClaimReply } from '../store/scripts/claim.ts'
import type { SettleQueue } from './settle-queue.ts'

/** Deliveries must begin within this part of the lock time; the rest is for the deliveries themselves. */
const START_WITHIN = 0.75

/** What each claimer needs. */
export interface ClaimerDeps {
  readonly clock: RedisClock
  readonly settleQueue: Pick<SettleQueue, 'add' | 'claimSent'>
  readonly logger: Logger
  readonly metrics: Metrics
  readonly events: EventSink
  readonly lockMs: number
  /** unique to each call, over all servers */
  readonly nextToken: () => string
}

/** The messages of one claim call, and the lock that they share. */
export interface ClaimCall<R> {
  readonly shard: number
  readonly reply: R
  readonly token: string
  /** monotonic ms: no delivery may begin later */
  readonly startBy: number
  /** monotonic ms: the locks end at this time or later */
  readonly lockEndsAt: number
}

/**
 * Makes one claim call in a shard, and records clock and metrics of its reply.
 *
 * @throws SchedulerError when Redis did not answer
 */
export async function callClaim<R extends ClaimReply>(
  deps: ClaimerDeps,
  shard: number,
  call: (args: ClaimArgs) => Promise<R>,
): Promise<ClaimCall<R>> {
  const { clock, settleQueue, lockMs } = deps
  const token = deps.nextToken()
  // Taken before the call, so that the lock cannot end earlier than computed.
  const sentAt = performance.now()
  const claiming = call({ token, lockMs })
  settleQueue.claimSent(shard)
  const reply = await claiming
  clock.observe(reply.now)
  recordClaimMetrics(deps, shard, reply)
  return { shard, reply, token, startBy: sentAt + lockMs * START_WITHIN, lockEndsAt: sentAt + lockMs }
}

/** What a claim reports about its shard: when to claim there next. */
export interface Pass {
  /** ms until the next message for this claimer is due, 0 if more are due now; null if there is none */
  readonly nextDueInMs: number | null
  /** ms until the next claim expires unless it is extended; null if there is none */
  readonly expiryInMs: number | null
  /** lateness of the latest claimed message, ms; 0 if nothing was claimed */
  readonly lateMs: number
}

export const passOf = ({ nextDueInMs, expiryInMs, now, subMs, claims }: ClaimReply): Pass => ({
  nextDueInMs: nextDueInMs === null ? null : Math.max(0, nextDueInMs - subMs),
  expiryInMs,
  lateMs: claims.reduce((most: number, { attemptDueAt }: Claim) => Math.max(most, now - attemptDueAt), 0),
})

/** A sleeping server checks one shard this often, in turn, as a safety net for missed wakes. */
export const POLL_MS = 1_000
/** The same for the other claimers: the console claimer checks their lanes too, unless it is busy or stuck. */
export const OWN_POLL_MS = 10_000
/** Spreads the polls of several servers. */
const POLL_JITTER = 0.1

/**
 * How long to sleep: until the next message is due or the next claim expires, plus `standbyMs`, but never longer than
 * the poll.
 */
export function nextWaitMs(
  { nextDueInMs, expiryInMs }: Pick<Pass, 'nextDueInMs' | 'expiryInMs'>,
  { shards, standbyMs, pollMs = POLL_MS }: { shards: number; standbyMs: number; pollMs?: number },
  random = Math.random(),
): number {
  const poll = pollMs * shards * (1 - POLL_JITTER + 2 * POLL_JITTER * random)
  return Math.min((nextDueInMs ?? poll) + standbyMs, (expiryInMs ?? poll) + standbyMs, poll)
}

const FIRST_BACKOFF_MS = 50
const LONGEST_BACKOFF_MS = 1_000

/** The wait after this many consecutive failures, ms. */
export const backoffMs = (failures: number): number =>
  Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(failures, 10), LONGEST_BACKOFF_MS) * (0.75 + Math.random() / 2)
