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
/** Before these: when the lease began, in tenths of a second modulo 29 hours, and the hash of its server. */
const ORIGIN_BYTES = 4
const TENTHS = 2 ** 20
const SERVERS = 2 ** 12

/** Which server grants a lease, and when. */
interface Origin {
  readonly serverId: string
  /** epoch ms */
  readonly at: number
}

/** 64 random bits, the origin, and the hash of the lane. */
export function makeSecret(lane: string, { serverId, at }: Origin): string {
  const bytes = randomBytes(SECRET_BYTES)
  const origin = (Math.floor(at / 100) % TENTHS) * SERVERS + (fnv1a(serverId) % SERVERS)
  bytes.writeUInt32BE(origin, SECRET_BYTES - LANE_BYTES - ORIGIN_BYTES)
  bytes.writeUInt32BE(fnv1a(lane), SECRET_BYTES - LANE_BYTES)
  return bytes.toString('base64url')
}

/**
 * Reads the origin of a lease that is younger than 29 hours.
 *
 * @param now epoch ms
 * @param servers ids of those that may have granted it
 * @returns when it began, to a tenth of a second, and its server if exactly one fits; undefined for what is no secret
 */
export function originOf(
  secret: string,
  now: number,
  servers: readonly string[],
): { at: number; server: string | null } | undefined {
  const bytes = Buffer.from(secret, 'base64url')
  if (bytes.length !== SECRET_BYTES) return undefined
  const origin = bytes.readUInt32BE(SECRET_BYTES - LANE_BYTES - ORIGIN_BYTES)
  const tenths = Math.floor(now / 100)
  const age = (tenths - Math.floor(origin / SERVERS)) % TENTHS
  const [server = null, ...others] = servers.filter((id) => fnv1a(id) % SERVERS === origin % SERVERS)
  return { at: (tenths - ((age + TENTHS) % TENTHS)) * 100, server: others.length === 0 ? server : null }
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
