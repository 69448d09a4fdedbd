import type { HostRoom } from '../store/scripts/claim.ts'

/**
 * Counts the pushed messages that this server has in flight, in total and for each lane. It claims no more than it can
 * start immediately, and a host that hangs delays only its own messages.
 */
export interface Slots {
  /** How many messages a claim may take. */
  room(): HostRoom
  take(lane: string): void
  free(lane: string): void
  isFull(lane: string): boolean
  /** How many are taken, in all and for each host that has some. */
  inFlight(): { readonly total: number; readonly lanes: ReadonlyMap<string, number> }
  /** Whether there is a free slot for any lane. */
  hasFreeSlot(): boolean
  /** How often a slot has become free. */
  releaseCount(): number
  /** @returns the lanes that were full at any time since the last call */
  takeSaturated(): string[]
}

/** The part of all slots that hosts with few deliveries in flight get first. */
const RESERVE = 0.25

export interface SlotsOptions {
  /** most deliveries in flight, in total and to each host */
  readonly total: number
  readonly perHost: number
  /** called after a slot became free */
  readonly onFree: () => void
}

export function createSlots({ total, perHost, onFree }: SlotsOptions): Slots {
  const busy = new Map<string, number>()
  let saturated = new Set<string>()
  let inUse = 0
  let released = 0

  const busyOf = (lane: string) => busy.get(lane) ?? 0
  const isFull = (lane: string) => busyOf(lane) >= perHost

  return {
    room: () => ({
      slots: total - inUse,
      hostSlots: perHost,
      reserve: Math.floor(total * RESERVE),
      lanes: new Map([...busy].map(([lane, count]) => [lane, perHost - count])),
    }),
    take(lane) {
      inUse += 1
      busy.set(lane, busyOf(lane) + 1)
      if (isFull(lane)) saturated.add(lane)
    },
    free(lane) {
      inUse -= 1
      released += 1
      if (busyOf(lane) > 1) busy.set(lane, busyOf(lane) - 1)
      else busy.delete(lane)
      onFree()
    },
    isFull,
    inFlight: () => ({ total: inUse, lanes: busy }),
    hasFreeSlot: () => inUse < total,
    releaseCount: () => released,
    takeSaturated() {
      const found = [...saturated]
      saturated = new Set(found.filter(isFull))
      return found
    },
  }
}
