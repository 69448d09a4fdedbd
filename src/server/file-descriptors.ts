import { readFileSync } from 'node:fs'

/** File descriptors for anything but clients and webhooks: the process itself, Redis, files, the resolver. */
const OWN = 64

/**
 * @returns how many files and connections this process may have open now, which may change while it runs. Undefined if
 *   the system does not say, and while no descriptor is left to ask with
 */
export function descriptorLimit(): number | undefined {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
    return soft === undefined ? undefined : Number(soft)
  } catch {
    return undefined
  }
}

/**
 * How many connections of clients leave room for all else that needs a descriptor. Where there is hardly any, clients
 * get a quarter.
 *
 * @param limit descriptors the process may have
 * @param webhooks deliveries under way at a time, each with a connection
 */
export const connectionsWithin = (limit: number, webhooks: number): number =>
  Math.max(Math.floor(limit / 4), limit - webhooks - OWN)
