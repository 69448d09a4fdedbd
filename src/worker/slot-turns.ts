import type { ClaimRoom } from '../store/scripts/claim.ts'
import type { Pass } from './claim-once.ts'
import type { HostSlots } from './host-slots.ts'

/**
 * Has a server's shards take turns at its free slots. Only one claim at a time is told of them; once it is answered, or a
 * slot has become free, that shard goes on which has waited longest since it last got one. Each looks once: shards that wait
 * for a host that stays full would else wake each other for ever.
 */
export interface SlotTurns {
  /** Begins a shard's claim. */
  open(shard: number): SlotTurn
  /** Something falls due in a shard for a host that is full. */
  holdBack(shard: number): void
  /** A slot has become free. */
  freed(): void
}

/** One claim; it ends in one of two ways. */
export interface SlotTurn {
  /** what it may take from hosts' lanes: nothing while another one is told of free slots */
  readonly room: Pick<ClaimRoom, 'slots' | 'hostSlots' | 'reserve' | 'lanes'>
  /** @returns whether it is its shard's turn again */
  answered(pass: Pick<Pass, 'heldBack' | 'dispatched'>): boolean
  /** Its shard is not called before it claims again by itself. */
  failed(): void
}

const NO_SLOTS = { slots: 0, hostSlots: 0, reserve: 0, lanes: new Map<string, number>() }

/** @param call has a shard claim at once */
export function createSlotTurns(slots: HostSlots, call: (shard: number) => void): SlotTurns {
  /** shards that had something due for which there was no slot, whoever got one last at the end */
  const heldBack = new Set<number>()
  /** shards that have not looked since a slot became free, or met another's claim, in turn */
  let waiting = new Set<number>()
  /** shards that have looked in vain, and were then first once more */
  const secondLook = new Set<number>()
  const claiming = new Set<number>()

  /** @returns the shard whose turn it is, if it is any's */
  function next(): number | undefined {
    if (!slots.hasFreeSlot()) return undefined
    for (const shard of waiting) if (!claiming.has(shard)) return shard
    return undefined
  }

  function callNext(): void {
    const shard = next()
    if (shard !== undefined) call(shard)
  }

  return {
    open(shard) {
      // Whoever claims one batch for the console after the other would else be there first each time.
      const due = next()
      const offer = due === undefined || due === shard ? slots.open() : undefined
      const freedBefore = slots.freed()
      claiming.add(shard)
      if (offer === undefined) waiting.add(shard)
      else waiting.delete(shard)
      const note = ({ heldBack: isHeldBack, dispatched }: Pick<Pass, 'heldBack' | 'dispatched'>) => {
        if (!isHeldBack || dispatched > 0) heldBack.delete(shard)
        if (isHeldBack) heldBack.add(shard)
        // It knew nothing of a slot that has become free meanwhile.
        const cameTooSoon = isHeldBack && slots.freed() !== freedBefore
        if (cameTooSoon && dispatched === 0 && !secondLook.has(shard)) {
          secondLook.add(shard)
          waiting = new Set([shard, ...waiting])
        } else {
          secondLook.delete(shard)
          if (cameTooSoon) waiting.add(shard)
        }
      }
      return {
        room: offer?.room ?? NO_SLOTS,
        answered(pass) {
          claiming.delete(shard)
          offer?.close()
          if (offer !== undefined) note(pass)
          const isNext = next() === shard
          if (!isNext) callNext()
          return isNext
        },
        failed() {
          offer?.close()
          callNext()
        },
      }
    },
    holdBack(shard) {
      heldBack.add(shard)
      // A claim under way may have looked before.
      if (claiming.has(shard)) waiting.add(shard)
    },
    freed() {
      for (const shard of heldBack) if (!claiming.has(shard)) waiting.add(shard)
      callNext()
    },
  }
}
