import { randomBytes } from 'node:crypto'

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

export const makeSecret = (): string => randomBytes(16).toString('base64url')

export const encodeLeaseToken = ({ shard, leasedAt, lateMs, claim, secret }: LeaseToken): string =>
  [shard, leasedAt, lateMs, claim, secret].join('.')

/** @returns undefined for what is no token */
export function decodeLeaseToken(token: string): LeaseToken | undefined {
  const match = TOKEN.exec(token)
  if (match === null) return undefined
  const [shard = 0, leasedAt = 0, lateMs = 0, claim = 0] = match.slice(1, 5).map(Number)
  return { shard, leasedAt, lateMs, claim, secret: match[5] ?? '' }
}
