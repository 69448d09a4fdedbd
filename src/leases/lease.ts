import { decodeRecord } from '../records/record.ts'
import type { Claim } from '../store/scripts/claim.ts'
import type { Held, Release } from '../store/scripts/settle.ts'
import { encodeLeaseToken, type LeaseToken } from './lease-token.ts'

/** A message that a worker has claimed over HTTP. All times are epoch ms. */
export interface Lease {
  readonly id: string
  /** proves, together with the id, that the lease is the worker's */
  readonly token: string
  /** JSON text */
  readonly payload: string
  /** the message's own due time, whatever retries there were */
  readonly dueAt: number
  /** from 1: 1 + failures + recoveries */
  readonly attempt: number
  /** only ever grows for a message, so that whoever acts on it can refuse a late twin */
  readonly claim: number
  /** when this attempt was due */
  readonly attemptDueAt: number
  /** how late this attempt begins */
  readonly lateMs: number
}

/** A lease, and what it takes to undo it. */
export interface Leased {
  readonly lease: Lease
  readonly shard: number
  readonly release: Release
}

/** A lease that a worker names, with what its token says. */
export type Proven = Held & { readonly proof: LeaseToken }

export const UNREADABLE = { why: 'rejected', reason: 'unreadable', report: '' } as const

/** As if it had never been leased. */
export const returned = (
  { id, attemptDueAt }: Pick<Claim, 'id' | 'attemptDueAt'>,
  token: string,
): Release => ({
  ...{ id, token, why: 'returned', dueAt: attemptDueAt },
})

/** A lease that its worker ends without success. @param delayMs as `release` has it @param now epoch ms */
export function released({ id, token, proof }: Proven, delayMs: number | null, now: number): Release {
  const why = { reason: 'released', report: reportOf(proof, now) }
  return delayMs === null
    ? { id, token, why: 'failed', retryAfterMs: 0, ...why }
    : { id, token, why: 'postponed', delayMs, ...why }
}

const reportOf = ({ leasedAt, claim }: LeaseToken, now: number): string =>
  JSON.stringify({ at: leasedAt, claim, durationMs: Math.max(0, now - leasedAt) })

/** Null for a record that makes no sense. */
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
