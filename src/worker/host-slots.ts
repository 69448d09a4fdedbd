import type { ClaimRoom } from '../store/scripts/claim.ts'

/**
 * Counts this server's webhook deliveries under way, in all and for each host, so that it claims no more than it can
 * start at once and a host that hangs holds up only its own messages.
 */
export interface HostSlots {
  /**
   * What a claim may take from hosts' lanes. Only one claim at a time is told of free slots, or two would be promised
   * the same; `close` ends that.
   *
   * @returns undefined while another claim has not been answered
   */
  open():
    | { readonly room: Pick<ClaimRoom, 'slots' | 'hostSlots' | 'reserve' | 'lanes'>; close(): void }
    | undefined
  take(lane: string): void
  free(lane: string): void
  isFull(lane: string): boolean
  /** Whether there is a slot, for whichever host, that no claim under way has been told of. */
  hasFreeSlot(): boolean
  /** How often a slot has become free: whether one has since can be told by it. */
  freed(): number
  /** @returns the lanes that were full at some time since this was last asked */
  takeSaturated(): string[]
}

/** The part of all slots that hosts which have many of them already do not get first. */
const RESERVE = 0.25

export interface HostSlotsOptions {
  /** deliveries under way at most, in all and to each host */
  readonly total: number
  readonly perHost: number
  /** told after a slot became free */
  readonly onFree: () => void
}

export function createHostSlots({ total, perHost, onFree }: HostSlotsOptions): HostSlots {
  const busy = new Map<string, number>()
  let full = new Set<string>()
  let inUse = 0
  let freed = 0
  let isOpen = false

  const busyOf = (lane: string) => busy.get(lane) ?? 0
  const isFull = (lane: string) => busyOf(lane) >= perHost

  return {
    open() {
      if (isOpen) return undefined
      isOpen = true
      const lanes = new Map([...busy].map(([lane, count]) => [lane, perHost - count]))
      return {
        room: { slots: total - inUse, hostSlots: perHost, reserve: Math.floor(total * RESERVE), lanes },
        close() {
          isOpen = false
        },
      }
    },
    take(lane) {
      inUse += 1
      busy.set(lane, busyOf(lane) + 1)
      if (isFull(lane)) full.add(lane)
    },
    free(lane) {
      inUse -= 1
      freed += 1
      if (busyOf(lane) > 1) busy.set(lane, busyOf(lane) - 1)
      else busy.delete(lane)
      onFree()
    },
    isFull,
    hasFreeSlot: () => !isOpen && inUse < total,
    freed: () => freed,
    takeSaturated() {
      const found = [...full]
      full = new Set(found.filter(isFull))
      return found
    },
  }
}
