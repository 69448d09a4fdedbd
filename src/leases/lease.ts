import { decodeRecord } from '../records/record.ts'
import type { Claim } from '../store/scripts/claim.ts'
import type { Delivered, Held, Release } from '../store/scripts/settle.ts'
import { encodeLeaseToken, type LeaseToken } from './lease-token.ts'

/** A message that a worker has claimed over HTTP. All times are epoch ms. */
export interface Lease {
  readonly id: string
  /** proves, together with the id, that the worker holds the lease */
  readonly token: string
  /** JSON text */
  readonly payload: string
  /** when the client wanted the message delivered */
  readonly dueAt: number
  /** from 1: 1 + failures + recoveries */
  readonly attempt: number
  /** a fencing token: grows with each claim of the message, so that receivers can reject late duplicates */
  readonly claim: number
  /** when this attempt was due: `dueAt`, or the time of a retry */
  readonly attemptDueAt: number
  /** how late this attempt begins */
  readonly lateMs: number
}

/** Identifies a lease. */
export interface LeaseRef {
  readonly id: string
  readonly token: string
}

/** The queue at which a worker names its leases. */
export interface AtQueue {
  readonly queue: string
  /** whether all leases of other queues count as lost, as the worker's key is for this one alone */
  readonly isOnly: boolean
}

/** A lease, and the release that undoes it. */
export interface Leased {
  readonly lease: Lease
  readonly shard: number
  readonly release: Release
}

/** A lease that a worker names, with its decoded token. */
export type Proven = Held & { readonly proof: LeaseToken }

export const UNREADABLE = { why: 'rejected', reason: 'unreadable', report: '' } as const

/** Releases a lease as if it had never existed. */
export const returned = (
  { id, attemptDueAt }: Pick<Claim, 'id' | 'attemptDueAt'>,
  token: string,
): Release => ({
  ...{ id, token, why: 'returned', dueAt: attemptDueAt },
})

/** Acknowledges a lease. @param now epoch ms */
export const acknowledged = (
  { id, token, proof: { lateMs, leasedAt, claim } }: Proven,
  now: number,
): Delivered => ({
  ...{ id, token, lateMs },
  attempt: `${claim} ${Math.max(0, now - leasedAt)} - -`,
})

/** Releases a lease whose delivery failed. @param delayMs as in Leases.release @param now epoch ms */
export function released({ id, token, proof }: Proven, delayMs: number | null, now: number): Release {
  const why = { reason: 'released', report: reportOf(proof, now) }
  return delayMs === null
    ? { id, token, why: 'failed', retryAfterMs: 0, ...why }
    : { id, token, why: 'postponed', delayMs, ...why }
}

/** A lease that its worker ends without having tried. @param delayMs until it is due again */
export const deferred = ({ id, token }: Proven, delayMs: number): Release => ({
  ...{ id, token, why: 'deferred', delayMs },
})

/** A lease whose message will never be delivered. @param reason a short text without line breaks @param now epoch ms */
export const rejected = ({ id, token, proof }: Proven, reason: string, now: number): Release => ({
  ...{ id, token, why: 'rejected', reason, report: reportOf(proof, now) },
})

const reportOf = ({ leasedAt, claim }: LeaseToken, now: number): string =>
  JSON.stringify({ at: leasedAt, claim, durationMs: Math.max(0, now - leasedAt) })

/** @returns null for an unreadable record */
export function toLease(
  { id, number: claim, attemptDueAt, record, failures, recoveries }: Claim,
  { shard, leasedAt, secret }: Pick<LeaseToken, 'shard' | 'leasedAt' | 'secret'>,
): Lease | null {
  try {
    const { dueAt, payload } = decodeRecord(record)
    const lateMs = Math.max(0, leasedAt - dueAt)
    const token = encodeLeaseToken({ shard, leasedAt, lateMs, claim, secret })
    return { id, token, payload, dueAt, attemptDueAt, attempt: 1 + failures + recoveries, claim, lateMs }
  } catch {
    return null
  }
}
