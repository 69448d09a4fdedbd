import { type LookupAddress, type LookupOptions, lookup as systemLookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { type AllowList, isAllowed } from './addresses.ts'

/** Nothing that a name or a URL leads to may be reached. It does not say what that is: clients read it. */
export class AddressNotAllowedError extends Error {
  override readonly name = 'AddressNotAllowedError'

  constructor(hostname: string) {
    super(`${hostname} does not resolve to an address that webhooks may reach`)
  }
}

type LookupCallback = (
  error: NodeJS.ErrnoException | null,
  addresses: readonly LookupAddress[] | undefined,
) => void

/** Finds all addresses of a name. */
export type LookupAll = (hostname: string, options: LookupOptions, callback: LookupCallback) => void

/** As the system has it configured, hosts file and search domains included. */
export const lookupAll: LookupAll = (hostname, options, callback) =>
  systemLookup(hostname, { ...options, all: true }, callback)

/**
 * A look-up for sockets, which connect to what it answers and ask nobody else: the addresses that are not allowed are
 * left out, so that a name that has both kinds is reached at the others. With none left it fails.
 */
export function createGuardedLookup(allow: AllowList, lookup: LookupAll): LookupFunction {
  const lookupOnce = shareLookups(lookup)
  return (hostname, options, callback) =>
    lookupOnce(hostname, options, (error, addresses = []) => {
      if (error !== null) return callback(error, [])
      const allowed = addresses.filter(({ address }) => isAllowed(address, hostname, allow))
      const [first] = allowed
      if (first === undefined) return callback(new AddressNotAllowedError(hostname), [])
      if (options.all) callback(null, allowed)
      else callback(null, first.address, first.family)
    })
}

/**
 * Asks for each name once at a time. The system looks up very few names at once (half of libuv's threads), and a name
 * whose name server does not answer would take all of them, and hold up the look-ups of all others.
 */
function shareLookups(lookup: LookupAll): LookupAll {
  const waiting = new Map<string, LookupCallback[]>()
  return (hostname, options, callback) => {
    const others = waiting.get(hostname)
    if (others !== undefined) return void others.push(callback)
    const callbacks = [callback]
    waiting.set(hostname, callbacks)
    lookup(hostname, options, (error, addresses) => {
      waiting.delete(hostname)
      for (const tell of callbacks) tell(error, addresses)
    })
  }
}
