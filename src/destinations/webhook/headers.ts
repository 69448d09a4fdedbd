import { createHash } from 'node:crypto'
import { VERSION } from '../../runtime/version.ts'
import type { Delivery } from '../delivery.ts'
import type { WebhookDestination } from './schema.ts'
import { sign } from './secrets.ts'

/**
 * The value of `webhook-id`, the same for each delivery of a message: its id, or a hash of it if the id has a full
 * stop, which the signature takes for its end.
 */
function webhookIdOf(id: string): string {
  return id.includes('.') ? `sha256_${createHash('sha256').update(id).digest('base64url')}` : id
}

/** Who signs, and when. */
export interface Signing {
  readonly secrets: readonly Buffer[]
  /** epoch ms by Redis's clock */
  readonly now: number
}

/**
 * The headers of one delivery: the client's, and then ours, which no client can set.
 *
 * @param body null for none
 * @returns names and values in turn
 */
export function webhookHeaders(
  { id, dueAt, attempt, claim, lateMs }: Delivery,
  { headers }: WebhookDestination,
  body: string | null,
  { secrets, now }: Signing,
): string[] {
  const webhookId = webhookIdOf(id)
  const timestamp = Math.floor(now / 1_000)
  const all: string[] = []
  const given = new Set<string>()
  for (const name in headers) {
    all.push(name, headers[name] ?? '')
    given.add(name.toLowerCase())
  }
  if (body !== null && !given.has('content-type')) all.push('content-type', 'application/json')
  if (!given.has('user-agent')) all.push('user-agent', `Carillon/${VERSION}`)
  all.push('webhook-id', webhookId, 'webhook-timestamp', String(timestamp))
  if (secrets.length > 0) all.push('webhook-signature', sign(secrets, webhookId, timestamp, body ?? ''))
  all.push('carillon-scheduled-for', new Date(dueAt).toISOString(), 'carillon-attempt', String(attempt))
  all.push('carillon-claim', String(claim), 'carillon-late-ms', String(lateMs))
  return all
}
