import { createHash } from 'node:crypto'
import { stringify } from 'safe-stable-stringify'
import { withDefaults } from '../destinations/registry.ts'
import { canonicalOf } from '../domain/json/canonical.ts'
import { DEFAULT_RETRY, type Due, type MessageOptions } from '../domain/message.ts'

/**
 * Tells whether two requests with one id ask for the same: a hash of all that was asked, with the defaults filled in
 * and keys sorted. A delay counts as the delay it was given as, and not as the time it led to.
 *
 * @param payload JSON text without white space outside strings; see canonicalOf for what counts as the same
 */
export function fingerprintOf(due: Due, payload: string, options: MessageOptions): string {
  const { tags = [], notAfter = null, onLate = 'deliver' } = options
  const destination = withDefaults(options.destination)
  const retry = { ...DEFAULT_RETRY, ...options.retry }
  // In the order of their names, as they are sorted within each. Servers of other versions store the same hashes.
  const before = String(stringify({ destination, due, notAfter, onLate }))
  const behind = String(stringify({ retry, tags }))
  const content = `${before.slice(0, -1)},"payload":${canonicalOf(payload)},${behind.slice(1)}`
  return createHash('sha256').update(content).digest('base64url').slice(0, 22)
}
