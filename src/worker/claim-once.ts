import type { Logger } from 'pino'
import type { BatchSender, Delivery, Outcome } from '../destinations/delivery.ts'
import { isPushed } from '../destinations/registry.ts'
import { recordClaimMetrics } from '../observability/claim-metrics.ts'
import type { Metrics } from '../observability/metrics.ts'
import type { RedisClock } from '../store/redis-clock.ts'
import type { Claim, ClaimRoom } from '../store/scripts/claim.ts'
import type { Scripts } from '../store/scripts/scripts.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Settlement } from './settle.ts'
import type { SettleQueue } from './settle-queue.ts'
import { toDelivery, unreadable } from './to-delivery.ts'

/** Deliveries must begin within this part of their lock's life; the rest is for carrying them out. */
const START_DEADLINE = 0.75

export interface ClaimDeps {
  readonly scripts: Pick<Scripts, 'claim'>
  readonly clock: RedisClock
  /** where messages for the console go */
  readonly console: BatchSender
  /** where messages go one by one */
  readonly dispatcher: Pick<Dispatcher, 'dispatch'>
  readonly settleQueue: Pick<SettleQueue, 'add' | 'claimSent'>
  readonly logger: Logger
  readonly metrics: Metrics
  readonly lockMs: number
  /** unique to every call, over all servers */
  readonly nextToken: () => string
}

export interface Pass {
  /** ms until the next message there was room for is due, 0 if more are due now; null when none is scheduled */
  readonly nextDueInMs: number | null
  /** ms until the next claim is to be recovered unless it is extended; null when there is none */
  readonly expiryInMs: number | null
  /** something is due that there was no slot for */
  readonly heldBack: boolean
  /** how many deliveries were set going that have a slot each */
  readonly dispatched: number
  /** by how many ms the latest of what was claimed was late; 0 where nothing was */
  readonly lateMs: number
  /**
   * Null when nothing for the console was claimed. Else it resolves, never rejects, when all of that is delivered and
   * settled: to whether the console took anything at all. One that takes nothing should be left alone for a while.
   */
  readonly settled: Promise<boolean> | null
}

/**
 * One pass: claims what is due in a shard and sets its delivery and settlement going.
 *
 * @param signal aborted when the service ends now: what has not begun is handed back
 * @throws SchedulerError when Redis did not answer the claim
 */
export async function claimOnce(
  deps: ClaimDeps,
  shard: number,
  room: ClaimRoom,
  signal: AbortSignal,
): Promise<Pass> {
  const { scripts, clock, lockMs, dispatcher, settleQueue } = deps
  const token = deps.nextToken()
  // From before the call: the lock can end no earlier than this tells.
  const sentAt = performance.now()
  const claiming = scripts.claim(shard, { token, lockMs, room })
  settleQueue.claimSent(shard)
  const reply = await claiming
  const { claims, now, subMs, expiryInMs, heldBack } = reply
  const nextDueInMs = reply.nextDueInMs === null ? null : Math.max(0, reply.nextDueInMs - subMs)
  clock.observe(now)
  recordClaimMetrics(deps, shard, reply)

  const startBy = sentAt + lockMs * START_DEADLINE
  const batch: Delivery[] = []
  const corrupt: Settlement[] = []
  let dispatched = 0
  for (const claim of claims) {
    const delivery = toDelivery(claim, shard, token, now)
    if (delivery === null || !isOurs(delivery, claim)) {
      deps.logger.error({ id: claim.id }, 'the record of a message cannot be read')
      corrupt.push({
        delivery: unreadable(claim, shard, token),
        outcome: unreadableOutcome(claim.number, now),
      })
    } else if (claim.streamError !== undefined) {
      corrupt.push({ delivery, outcome: streamErrorOutcome(claim.streamError, claim.number, now) })
    } else if (isPushed(delivery.destination.type)) {
      dispatcher.dispatch(delivery, startBy, sentAt + lockMs)
      dispatched += 1
    } else batch.push(delivery)
  }
  const settled =
    batch.length + corrupt.length === 0
      ? null
      : deliverAndSettle(deps, { batch, corrupt, now, startBy, lockEndsAt: sentAt + lockMs }, signal)
  const lateMs = claims.reduce(
    (most, { attemptDueAt }) => Math.max(most, now - attemptDueAt),
    Math.max(0, ...reply.moved),
  )
  return { nextDueInMs, expiryInMs, heldBack, dispatched, lateMs, settled }
}

/** Streams and queues have lanes of their own, so of their messages only those come here that Redis refused to move. */
const isOurs = ({ destination }: Delivery, { streamError }: Claim): boolean =>
  streamError !== undefined || destination.type === 'console' || isPushed(destination.type)

interface Work {
  readonly batch: readonly Delivery[]
  readonly corrupt: readonly Settlement[]
  readonly now: number
  readonly startBy: number
  readonly lockEndsAt: number
}

async function deliverAndSettle(deps: ClaimDeps, work: Work, signal: AbortSignal): Promise<boolean> {
  const { batch, corrupt, now, startBy, lockEndsAt } = work
  for (const { attemptDueAt } of batch) deps.metrics.deliveryStarted('console', now - attemptDueAt)
  const outcomes = batch.length === 0 ? [] : await deps.console.deliver(batch, startBy, signal)
  const settlements = batch.map(
    (delivery, i): Settlement => ({ delivery, outcome: outcomes[i] ?? { kind: 'returned' } }),
  )
  await deps.settleQueue.add([...settlements, ...corrupt], () => lockEndsAt)
  return outcomes.length === 0 || outcomes.some(({ kind }) => kind !== 'returned')
}

const streamErrorOutcome = (reason: string, claim: number, now: number): Outcome => ({
  ...{ kind: 'failed', reason },
  report: { at: now, claim, durationMs: 0, error: 'Redis refused to add the message to its stream' },
})

const unreadableOutcome = (claim: number, now: number): Outcome => ({
  kind: 'rejected',
  reason: 'unreadable',
  report: { at: now, claim, durationMs: 0, error: 'the record cannot be read' },
})
