import { isIP, type Socket } from 'node:net'
import { buildConnector } from 'undici'
import { type AllowList, isAllowed } from './addresses.ts'
import { AddressNotAllowedError, createGuardedLookup, type LookupAll } from './guarded-lookup.ts'

/**
 * Begins to connect.
 *
 * @param callback told once: the connected socket, or AddressNotAllowedError, or what else went wrong
 * @returns the socket that connects, for who wants to give it up
 */
export type Connect = (
  options: buildConnector.Options,
  callback: buildConnector.Callback,
) => Socket | undefined

/**
 * Opens connections, over TLS or not, to addresses that are allowed, and to no others. The check is made on what the
 * socket is about to connect to: there is no second look-up that could answer otherwise.
 */
export function createGuardedConnector(allow: AllowList, lookup: LookupAll): Connect {
  const connect = buildConnector({
    lookup: createGuardedLookup(allow, lookup),
    timeout: 0, // each delivery has a time-out of its own, which may be longer
  })
  /** Nothing but the look-up decides where a socket goes. Should that ever change, nothing is sent. */
  function refusalOf({ remoteAddress }: Socket, hostname: string): Error | undefined {
    if (remoteAddress === undefined) return new Error('the connection was closed as soon as it was open')
    return isAllowed(remoteAddress, hostname, allow) ? undefined : new AddressNotAllowedError(hostname)
  }

  return (options, callback) => {
    const { hostname } = options
    // A literal address is never looked up.
    if (isIP(hostname) !== 0 && !isAllowed(hostname, hostname, allow)) {
      process.nextTick(callback, new AddressNotAllowedError(hostname), null)
      return undefined
    }
    const socket = connect(options, (error, connected) => {
      if (error !== null) return callback(error, null)
      const refusal = refusalOf(connected, hostname)
      if (refusal === undefined) return callback(null, connected)
      connected.destroy()
      callback(refusal, null)
    })
    // undici's connector returns its socket, though its types say that it returns nothing.
    return socket as unknown as Socket | undefined
  }
}
