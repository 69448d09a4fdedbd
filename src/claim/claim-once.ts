import type { Logger } from 'pino'
import type { Delivery, Destination } from '../deliver/deliver.ts'
import { decodeRecord } from '../message.ts'
import type { RedisClock } from '../redis/redis-clock.ts'
import type { Claim, Scripts } from '../redis/scripts.ts'
import { settle } from '../settle/settle.ts'

/** Deliveries must begin within this part of their lock's life; the rest is for carrying them out. */
const START_WITHIN = 0.75

export interface ClaimDeps {
  readonly scripts: Pick<Scripts, 'claim' | 'acknowledge' | 'release'>
  readonly clock: RedisClock
  readonly destination: Destination
  readonly logger: Logger
  /** messages per claim */
  readonly limit: number
  readonly lockMs: number
  /** unique to every call, over all servers */
  readonly nextToken: () => string
}

export interface Pass {
  readonly claimed: number
  /** ms until the next message is due, 0 if more are due now; null when none is scheduled */
  readonly nextDueInMs: number | null
  /** Resolves, never rejects, when all that was claimed is delivered and settled. */
  readonly settled: Promise<void>
}

/**
 * One pass: claims what is due in a shard and sets its delivery and settlement going.
 *
 * @param signal aborted when the service ends now: what has not begun is handed back
 * @throws SchedulerError when Redis did not answer the claim
 */
export async function claimOnce(deps: ClaimDeps, shard: number, signal: AbortSignal): Promise<Pass> {
  const { scripts, clock, limit, lockMs, logger } = deps
  const token = deps.nextToken()
  // From before the call: the lock can end no earlier than this tells.
  const sentAt = performance.now()
  const { claims, now, nextDueInMs, recovered } = await scripts.claim(shard, { token, limit, lockMs })
  clock.observe(now)
  if (recovered > 0)
    logger.warn({ shard, count: recovered }, 'recovered claims of a server that did not settle them')

  const settled =
    claims.length === 0
      ? Promise.resolve()
      : deliverAndSettle(deps, { shard, token, claims, now, sentAt }, signal)
  return { claimed: claims.length, nextDueInMs, settled }
}

interface Batch {
  readonly shard: number
  readonly token: string
  readonly claims: readonly Claim[]
  readonly now: number
  readonly sentAt: number
}

async function deliverAndSettle(deps: ClaimDeps, batch: Batch, signal: AbortSignal): Promise<void> {
  const { shard, token, claims, now, sentAt } = batch
  try {
    const deliveries = claims.map((claim) => toDelivery(claim, now))
    const outcomes = await deps.destination.deliver(deliveries, sentAt + deps.lockMs * START_WITHIN, signal)
    await settle(deps, { shard, token, deliveries, outcomes, lockEndsAt: sentAt + deps.lockMs }, signal)
  } catch (error) {
    deps.logger.error(
      { shard, count: claims.length, err: error },
      'a claimed batch broke; to be recovered when its locks end',
    )
  }
}

function toDelivery({ id, record, attemptDueAt, failures, recoveries }: Claim, now: number): Delivery {
  const { dueAt, payload } = decodeRecord(record)
  return {
    id,
    dueAt,
    attemptDueAt,
    lateMs: now - dueAt,
    attempt: 1 + failures + recoveries,
    failures,
    payload,
  }
}
