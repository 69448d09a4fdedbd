import type { Delivery } from '../destinations/delivery.ts'
import { aboutDelivery } from '../events/describe.ts'
import { decodeRecord } from '../records/record.ts'
import type { Claim, ClaimReply } from '../store/scripts/claim.ts'
import type { ClaimCall, ClaimerDeps } from './claim-call.ts'
import type { Settlement } from './settle.ts'

const CONSOLE = { type: 'console' } as const

export interface Deliveries<C extends Claim> {
  /** the deliveries, each with its claim */
  readonly readable: readonly { readonly delivery: Delivery; readonly claim: C }[]
  /** settlements for messages with unreadable records */
  readonly unreadable: readonly Settlement[]
}

/**
 * Makes deliveries of the messages that a call has claimed.
 *
 * @param laneOf the lane that a message was taken from
 * @param isExpected whether a message belongs in the lane it was found in
 */
export function toDeliveries<C extends Claim>(
  { logger, events }: Pick<ClaimerDeps, 'logger' | 'events'>,
  { reply, shard, token }: ClaimCall<ClaimReply<C>>,
  laneOf: (claim: C) => string,
  isExpected: (delivery: Delivery, claim: C) => boolean,
): Deliveries<C> {
  const readable: { delivery: Delivery; claim: C }[] = []
  const unreadable: Settlement[] = []
  for (const claim of reply.claims) {
    const head = { ...headOf(claim, shard, token), lane: laneOf(claim) }
    const delivery = toDelivery(head, claim.record, reply.now)
    if (delivery !== null && isExpected(delivery, claim)) {
      readable.push({ delivery, claim })
      if (events.isListening) events.emit('claimed', aboutDelivery(delivery), delivery.payload)
    } else {
      logger.error({ id: claim.id }, 'the record of a message cannot be read')
      unreadable.push(
        rejection(
          { ...head, dueAt: claim.attemptDueAt, lateMs: 0, payload: 'null', destination: CONSOLE },
          reply.now,
        ),
      )
    }
  }
  return { readable, unreadable }
}

type Head = Omit<Delivery, 'dueAt' | 'lateMs' | 'payload' | 'destination'>

const headOf = ({ id, number, attemptDueAt, failures, recoveries }: Claim, shard: number, token: string) => ({
  ...{ id, shard, token, claim: number, attemptDueAt },
  attempt: 1 + failures + recoveries,
})

/** @param now Redis's clock at the claim, epoch ms @returns null for an unreadable record */
function toDelivery(head: Head, record: string, now: number): Delivery | null {
  try {
    const { dueAt, payload, destination = CONSOLE, tags } = decodeRecord(record)
    return { ...head, dueAt, lateMs: now - dueAt, payload, destination, tags }
  } catch {
    return null
  }
}

const rejection = (delivery: Delivery, now: number): Settlement => ({
  delivery,
  outcome: {
    kind: 'rejected',
    reason: 'unreadable',
    report: { at: now, claim: delivery.claim, durationMs: 0, error: 'the record cannot be read' },
  },
})
