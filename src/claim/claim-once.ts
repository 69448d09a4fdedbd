import type { Logger } from 'pino'
import type { Delivery, Destination } from '../deliver/deliver.ts'
import { decodeRecord } from '../message.ts'
import type { RedisClock } from '../redis/redis-clock.ts'
import type { Claim, Scripts } from '../redis/scripts.ts'
import { settle, type Unreadable } from '../settle/settle.ts'

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
  /**
   * Resolves, never rejects, when all that was claimed is delivered and settled: to whether the destination took
   * anything at all. One that takes nothing should be left alone for a while.
   */
  readonly settled: Promise<boolean>
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
  const { claims, now, nextDueInMs, recovered, dropped, dead } = await scripts.claim(shard, {
    token,
    limit,
    lockMs,
  })
  clock.observe(now)
  if (recovered > 0)
    logger.warn({ shard, count: recovered }, 'recovered claims of a server that did not settle them')
  if (dropped + dead > 0) logger.warn({ shard, dropped, dead }, 'messages were past their notAfter')

  const settled =
    claims.length === 0
      ? Promise.resolve(true)
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

async function deliverAndSettle(deps: ClaimDeps, batch: Batch, signal: AbortSignal): Promise<boolean> {
  const { shard, token, claims, now, sentAt } = batch
  const deliveries: Delivery[] = []
  const unreadable: Unreadable[] = []
  for (const claim of claims) {
    const delivery = toDelivery(claim, now)
    if (delivery === undefined) unreadable.push({ id: claim.id, failures: claim.failures })
    else deliveries.push(delivery)
  }
  const outcomes = await deps.destination.deliver(deliveries, sentAt + deps.lockMs * START_WITHIN, signal)
  const settlement = { shard, token, deliveries, outcomes, unreadable, lockEndsAt: sentAt + deps.lockMs }
  await settle(deps, settlement, signal)
  return outcomes.length === 0 || outcomes.some(({ kind }) => kind !== 'returned')
}

function toDelivery(
  { id, record, attemptDueAt, failures, recoveries }: Claim,
  now: number,
): Delivery | undefined {
  try {
    const { dueAt, payload } = decodeRecord(record)
    const attempt = 1 + failures + recoveries
    return { id, dueAt, attemptDueAt, lateMs: now - dueAt, attempt, failures, payload }
  } catch {
    return undefined
  }
}
