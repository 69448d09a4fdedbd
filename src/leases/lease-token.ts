import { randomBytes } from 'node:crypto'
import { fnv1a } from '../domain/fnv1a.ts'

/**
 * What proves a worker's lease: `<shard>.<leased at>.<late ms>.<claim>.<secret>`. Only the secret, which is in the lock, is
 * proof; the rest says where the lock is and what to note of the delivery once it has ended.
 */
export interface LeaseToken {
  readonly shard: number
  /** epoch ms */
  readonly leasedAt: number
  readonly lateMs: number
  readonly claim: number
  readonly secret: string
}

const TOKEN = /^(\d{1,4})\.(\d{1,15})\.(\d{1,15})\.(\d{1,15})\.([\w-]{22})$/

const SECRET_BYTES = 16
/** of these, at the end: which lane the lease is of. As it is a part of the proof, nobody can change it. */
const LANE_BYTES = 4

/** 96 bits that nobody can guess, and what tells the lane. */
export function makeSecret(lane: string): string {
  const bytes = randomBytes(SECRET_BYTES)
  bytes.writeUInt32BE(fnv1a(lane), SECRET_BYTES - LANE_BYTES)
  return bytes.toString('base64url')
}

/** Whether a lease that holds is of that lane. */
export const isForLane = ({ secret }: LeaseToken, lane: string): boolean =>
  Buffer.from(secret, 'base64url').readUInt32BE(SECRET_BYTES - LANE_BYTES) === fnv1a(lane)

export const encodeLeaseToken = ({ shard, leasedAt, lateMs, claim, secret }: LeaseToken): string =>
  [shard, leasedAt, lateMs, claim, secret].join('.')

/** @returns undefined for what is no token */
export function decodeLeaseToken(token: string): LeaseToken | undefined {
  const match = TOKEN.exec(token)
  if (match === null) return undefined
  const [shard = 0, leasedAt = 0, lateMs = 0, claim = 0] = match.slice(1, 5).map(Number)
  return { shard, leasedAt, lateMs, claim, secret: match[5] ?? '' }
}
