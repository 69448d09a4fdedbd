import { randomBytes } from 'node:crypto'
import { fnv1a } from '../domain/fnv1a.ts'

/**
 * The token of a worker's lease: `<shard>.<leased at>.<late ms>.<claim>.<secret>`. Only the secret proves the lease, as
 * the lock holds it. The rest says where the lock is, and what to record when the delivery ends.
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
/** The last of them identify the lane. They are a part of the proof, so no client can change them. */
const LANE_BYTES = 4

/** 96 random bits, and the hash of the lane. */
export function makeSecret(lane: string): string {
  const bytes = randomBytes(SECRET_BYTES)
  bytes.writeUInt32BE(fnv1a(lane), SECRET_BYTES - LANE_BYTES)
  return bytes.toString('base64url')
}

/** Whether a valid lease is of this lane. */
export const isForLane = ({ secret }: LeaseToken, lane: string): boolean =>
  Buffer.from(secret, 'base64url').readUInt32BE(SECRET_BYTES - LANE_BYTES) === fnv1a(lane)

export const encodeLeaseToken = ({ shard, leasedAt, lateMs, claim, secret }: LeaseToken): string =>
  [shard, leasedAt, lateMs, claim, secret].join('.')

/** @returns undefined if the text is not a token */
export function decodeLeaseToken(token: string): LeaseToken | undefined {
  const match = TOKEN.exec(token)
  if (match === null) return undefined
  const [shard = 0, leasedAt = 0, lateMs = 0, claim = 0] = match.slice(1, 5).map(Number)
  return { shard, leasedAt, lateMs, claim, secret: match[5] ?? '' }
}
