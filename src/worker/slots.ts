import type { HostRoom } from '../store/scripts/claim.ts'

/**
 * Counts this server's webhook deliveries in flight, in all and for each host, so that it claims no more than it can
 * start at once and a host that hangs holds up only its own messages.
 */
export interface Slots {
  /** What a claim may take. */
  room(): HostRoom
  take(lane: string): void
  free(lane: string): void
  isFull(lane: string): boolean
  /** Whether there is a slot, for whichever host. */
  hasFreeSlot(): boolean
  /** How often a slot has become free. */
  releaseCount(): number
  /** @returns the lanes that were full at some time since this was last called */
  takeSaturated(): string[]
}

/** The part of all slots that hosts which have many of them already do not get first. */
const RESERVE = 0.25

export interface SlotsOptions {
  /** deliveries in flight at most, in all and to each host */
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
    hasFreeSlot: () => inUse < total,
    releaseCount: () => released,
    takeSaturated() {
      const found = [...saturated]
      saturated = new Set(found.filter(isFull))
      return found
    },
  }
}
