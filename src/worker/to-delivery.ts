import type { Delivery } from '../destinations/delivery.ts'
import { decodeRecord } from '../records/record.ts'
import type { Claim } from '../store/scripts/claim.ts'

const CONSOLE = { type: 'console' } as const

/**
 * @param now Redis's clock at the claim, epoch ms
 * @returns what is to be delivered; null for a record that makes no sense
 */
export function toDelivery(claim: Claim, shard: number, token: string, now: number): Delivery | null {
  try {
    const { dueAt, payload, destination = CONSOLE, lane } = decodeRecord(claim.record)
    return {
      ...headOf(claim, shard, token),
      dueAt,
      lateMs: now - dueAt,
      payload,
      destination,
      lane,
    }
  } catch {
    return null
  }
}

/** What stands in for a message whose record makes no sense, so that its claim can be settled. */
export const unreadable = (claim: Claim, shard: number, token: string): Delivery => ({
  ...headOf(claim, shard, token),
  ...{ dueAt: claim.attemptDueAt, lateMs: 0, payload: 'null', destination: CONSOLE, lane: '' },
})

const headOf = ({ id, number, attemptDueAt, failures, recoveries }: Claim, shard: number, token: string) => ({
  ...{ id, shard, token, claim: number, attemptDueAt },
  attempt: 1 + failures + recoveries,
})
