import type { Logger } from 'pino'
import { recordClaimMetrics } from '../observability/claim-metrics.ts'
import type { Metrics } from '../observability/metrics.ts'
import type { RedisClock } from '../store/redis-clock.ts'
import type { Claim, ClaimArgs, ClaimReply } from '../store/scripts/claim.ts'
import type { SettleQueue } from './settle-queue.ts'

/** Deliveries must begin within this part of their lock's life; the rest is for carrying them out. */
const START_WITHIN = 0.75

/** What every claimer works with. */
export interface ClaimerDeps {
  readonly clock: RedisClock
  readonly settleQueue: Pick<SettleQueue, 'add' | 'claimSent'>
  readonly logger: Logger
  readonly metrics: Metrics
  readonly lockMs: number
  /** unique to every call, over all servers */
  readonly nextToken: () => string
}

/** The messages of one claim call, and the lock that all of them have. */
export interface ClaimCall<R> {
  readonly shard: number
  readonly reply: R
  readonly token: string
  /** monotonic ms: what has not begun by then must not begin */
  readonly startBy: number
  /** monotonic ms: no later than the locks really end */
  readonly lockEndsAt: number
}

/**
 * Makes one claim call in a shard, and takes note of all that its reply tells.
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
  // From before the call: the lock can end no earlier than this tells.
  const sentAt = performance.now()
  const claiming = call({ token, lockMs })
  settleQueue.claimSent(shard)
  const reply = await claiming
  clock.observe(reply.now)
  recordClaimMetrics(deps, shard, reply)
  return { shard, reply, token, startBy: sentAt + lockMs * START_WITHIN, lockEndsAt: sentAt + lockMs }
}

/** What a claim tells of its shard, for whoever claims there next. */
export interface Pass {
  /** ms until the next message is due that this claimer could have, 0 if more are due now; null when there is none */
  readonly nextDueInMs: number | null
  /** ms until the next claim is to be recovered unless it is extended; null when there is none */
  readonly expiryInMs: number | null
  /** by how many ms the latest of what was claimed was late; 0 where nothing was */
  readonly lateMs: number
}

export const passOf = ({ nextDueInMs, expiryInMs, now, subMs, claims }: ClaimReply): Pass => ({
  nextDueInMs: nextDueInMs === null ? null : Math.max(0, nextDueInMs - subMs),
  expiryInMs,
  lateMs: claims.reduce((most: number, { attemptDueAt }: Claim) => Math.max(most, now - attemptDueAt), 0),
})

/** A sleeping server checks for itself this often, in one shard after the other, whatever it has heard. */
export const POLL_MS = 1_000
/** The same where the console's claimer, which looks for all, has something to do or is stuck. */
export const OWN_POLL_MS = 10_000
/** Keeps servers apart. */
const POLL_JITTER = 0.1

/**
 * How long to sleep: until the next message is due or the next claim expires, and `standbyMs` more, but never longer
 * than the poll.
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

/** How long to wait after so many failures in a row. */
export const backoffMs = (failures: number): number =>
  Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(failures, 10), LONGEST_BACKOFF_MS) * (0.75 + Math.random() / 2)
