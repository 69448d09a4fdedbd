import type { ClaimRoom } from '../redis/scripts.ts'
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
  answered(pass: Pick<Pass, 'heldBack' | 'dispatched'>): void
  /** Its shard is not called before it claims again by itself. */
  failed(): void
}

const NO_SLOTS = { slots: 0, hostSlots: 0, reserve: 0, lanes: new Map<string, number>() }

/** @param call has a shard claim at once */
export function createSlotTurns(slots: HostSlots, call: (shard: number) => void): SlotTurns {
  /** shards that had something due for which there was no slot, whoever got one last at the end */
  const heldBack = new Set<number>()
  /** shards that have not looked since a slot became free, or met another's claim, in turn */
  const waiting = new Set<number>()
  const claiming = new Set<number>()
  let isOffered = false

  function next(): void {
    if (isOffered || !slots.areLeft()) return
    for (const shard of waiting) {
      if (claiming.has(shard)) continue
      call(shard)
      return
    }
  }

  return {
    open(shard) {
      const offer = slots.open()
      const freedBefore = slots.freed()
      claiming.add(shard)
      if (offer === undefined) waiting.add(shard)
      else {
        isOffered = true
        waiting.delete(shard)
      }
      const close = () => {
        if (offer === undefined) return
        isOffered = false
        offer.close()
      }
      return {
        room: offer?.room ?? NO_SLOTS,
        answered(pass) {
          claiming.delete(shard)
          close()
          if (offer !== undefined) {
            if (!pass.heldBack || pass.dispatched > 0) heldBack.delete(shard)
            if (pass.heldBack) heldBack.add(shard)
          }
          // It knew nothing of a slot that has become free meanwhile.
          if (heldBack.has(shard) && slots.freed() !== freedBefore) waiting.add(shard)
          next()
        },
        failed() {
          close()
          next()
        },
      }
    },
    holdBack: (shard) => void heldBack.add(shard),
    freed() {
      for (const shard of heldBack) waiting.add(shard)
      next()
    },
  }
}
