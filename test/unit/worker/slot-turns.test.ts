import { describe, expect, it } from 'vitest'
import { createHostSlots } from '../../../src/worker/host-slots.ts'
import { createSlotTurns, type SlotTurn } from '../../../src/worker/slot-turns.ts'

const FULL = { heldBack: true, dispatched: 0 }
const NOTHING_DUE = { heldBack: false, dispatched: 0 }

/** Turns at so many slots, of which `busy` are taken; all are of `host`, which may have `perHost` of them. */
function turnsAt({ total, busy, perHost = total }: { total: number; busy: number; perHost?: number }) {
  const called: number[] = []
  const slots = createHostSlots({ total, perHost, onFree: () => turns.freed() })
  const turns = createSlotTurns(slots, (shard) => called.push(shard))
  const take = (count: number) => {
    for (let i = 0; i < count; i += 1) slots.take('host')
  }
  take(busy)
  /** Claims as one that is called would: takes what it is offered of `due`. */
  const look = (shard: number, due: number) => {
    const turn = turns.open(shard)
    const { room } = turn
    const count = Math.min(due, room.slots, room.lanes.get('host') ?? room.hostSlots)
    take(count)
    expect(turn.answered({ heldBack: due > count, dispatched: count })).toBe(false)
    return count
  }
  return {
    ...{ called, slots, turns, take, look },
    free: () => slots.free('host'),
    /** @returns which shards were called since this was last asked */
    calledNow: () => called.splice(0),
  }
}

describe('free slots', () => {
  it('are told to one claim at a time, and the next is called when it is answered', () => {
    const t = turnsAt({ total: 4, busy: 1 })
    const first = t.turns.open(0)
    const [second, third] = [t.turns.open(1), t.turns.open(2)]
    expect([first, second, third].map(({ room }) => [room.slots, room.hostSlots])).toEqual([
      [3, 4],
      [0, 0],
      [0, 0],
    ])
    for (const turn of [second, third]) turn.answered(NOTHING_DUE)
    expect(t.calledNow()).toEqual([])
    first.answered(NOTHING_DUE)
    expect(t.calledNow()).toEqual([1])
    t.look(1, 0)
    expect(t.calledNow()).toEqual([2])
    t.look(2, 0)
    expect(t.calledNow()).toEqual([])
  })

  it('go to the shard first that has waited longest since it got one', () => {
    const t = turnsAt({ total: 3, busy: 3 })
    for (const shard of [0, 1, 2]) t.look(shard, 9)
    const order: number[] = []
    for (let i = 0; i < 7; i += 1) {
      t.free()
      const [shard = -1, ...others] = t.calledNow()
      expect(others).toEqual([])
      expect(t.look(shard, 9)).toBe(1)
      order.push(shard)
    }
    expect(order).toEqual([0, 1, 2, 0, 1, 2, 0])
  })

  it('go round in the same way for a host that had none', () => {
    const t = turnsAt({ total: 9, busy: 1, perHost: 1 })
    for (const shard of [0, 1, 2]) t.look(shard, 9)
    const got: number[] = []
    for (let i = 0; i < 7; i += 1) {
      t.free()
      for (let [shard] = t.calledNow(); shard !== undefined; [shard] = t.calledNow()) {
        if (t.look(shard, 9) === 1) got.push(shard)
      }
    }
    expect(got).toEqual([0, 1, 2, 0, 1, 2, 0])
  })

  it('leave the place to whoever could take none of them', () => {
    const t = turnsAt({ total: 4, busy: 3 })
    // What the first has is for a host that is full.
    t.turns.open(0).answered(FULL)
    t.look(1, 9)
    t.look(2, 9)
    t.free()
    expect(t.calledNow()).toEqual([0])
    t.turns.open(0).answered(FULL)
    expect(t.calledNow()).toEqual([1])
    t.look(1, 9)
    t.free()
    expect(t.calledNow()).toEqual([2])
    t.look(2, 9)
    t.free()
    expect(t.calledNow()).toEqual([0])
  })

  it('have each shard look once, be there any left', () => {
    const t = turnsAt({ total: 4, busy: 1 })
    for (const shard of [0, 1]) t.turns.open(shard).answered(FULL)
    expect(t.calledNow()).toEqual([])
    t.free()
    for (const shard of [0, 1]) {
      expect(t.calledNow()).toEqual([shard])
      t.turns.open(shard).answered(FULL)
    }
    expect(t.calledNow()).toEqual([])
  })

  it('call nobody while there are none, and all who met another claim once there are', () => {
    const t = turnsAt({ total: 2, busy: 0 })
    const first = t.turns.open(0)
    t.turns.open(1).answered(NOTHING_DUE)
    t.take(2)
    first.answered({ heldBack: true, dispatched: 2 })
    expect(t.calledNow()).toEqual([])
    t.free()
    expect(t.calledNow()).toEqual([1])
    t.look(1, 0)
    expect(t.calledNow()).toEqual([0])
  })

  it('lead to another claim when they became free during one', () => {
    const t = turnsAt({ total: 2, busy: 2 })
    const turn = t.turns.open(0)
    t.free()
    expect(t.calledNow()).toEqual([])
    expect(turn.answered(FULL)).toBe(true)
    expect(t.calledNow()).toEqual([])
  })

  it('are looked for once more, and no oftener, by who came a moment too soon', () => {
    const t = turnsAt({ total: 3, busy: 3 })
    for (const shard of [0, 1]) t.look(shard, 9)
    t.free()
    expect(t.calledNow()).toEqual([0])
    for (const isAgain of [true, false]) {
      const turn = t.turns.open(0)
      t.free()
      expect(turn.answered(FULL)).toBe(isAgain)
    }
    expect(t.calledNow()).toEqual([1])
    t.look(1, 1)
    expect(t.calledNow()).toEqual([0])
    const later = t.turns.open(0)
    t.turns.open(1).answered(NOTHING_DUE)
    t.free()
    expect(later.answered(FULL)).toBe(true)
  })

  it('go to the next shard when they come too late for one that got some', () => {
    const t = turnsAt({ total: 2, busy: 2 })
    for (const shard of [0, 1]) t.look(shard, 9)
    t.free()
    const turn = t.turns.open(0)
    t.take(1)
    t.free()
    expect(turn.answered({ heldBack: true, dispatched: 1 })).toBe(false)
    expect(t.calledNow()).toEqual([0, 1])
  })

  it('are for whose turn it is, also when another claims just then', () => {
    const t = turnsAt({ total: 2, busy: 2 })
    t.look(0, 9)
    t.free()
    expect(t.calledNow()).toEqual([0])
    const backlog = t.turns.open(1)
    expect(backlog.room.slots).toBe(0)
    expect(t.look(0, 9)).toBe(1)
    backlog.answered(NOTHING_DUE)
  })

  it('lead to none where nothing is held back any more', () => {
    const t = turnsAt({ total: 2, busy: 2 })
    t.look(0, 1)
    t.free()
    expect(t.calledNow()).toEqual([0])
    t.look(0, 1)
    t.free()
    expect(t.calledNow()).toEqual([])
    t.turns.holdBack(0)
    t.look(1, 0)
    expect(t.calledNow()).toEqual([])
    t.free()
    expect(t.calledNow()).toEqual([0])
    const turn = t.turns.open(0)
    t.free()
    expect(turn.answered(NOTHING_DUE)).toBe(false)
  })
})

describe('a message for a full host', () => {
  it('makes its shard check again when it falls due during a claim', () => {
    const t = turnsAt({ total: 4, busy: 3 })
    const turn = t.turns.open(0)
    t.turns.holdBack(0)
    expect(turn.answered(NOTHING_DUE)).toBe(true)
    t.turns.open(0).answered(FULL)
    t.free()
    expect(t.calledNow()).toEqual([0])
  })
})

describe('a shard', () => {
  /** Shards 0 and 1 are held back, and a claim of shard 0 is under way that is told of no slot. */
  function held() {
    const t = turnsAt({ total: 4, busy: 4 })
    for (const shard of [0, 1]) t.turns.open(shard).answered(FULL)
    const other = t.turns.open(2)
    const hanging: SlotTurn = t.turns.open(0)
    other.answered(NOTHING_DUE)
    return { t, hanging }
  }

  it('keeps no other from its turn while its claim is not answered, and has its own afterwards', () => {
    const { t, hanging } = held()
    t.free()
    expect(t.calledNow()).toEqual([1])
    t.look(1, 0)
    expect(t.calledNow()).toEqual([])
    expect(hanging.answered(NOTHING_DUE)).toBe(true)
    expect(t.calledNow()).toEqual([])
  })

  it('is not called after its claim failed before it claims again by itself', () => {
    const { t, hanging } = held()
    hanging.failed()
    t.free()
    t.look(1, 0)
    t.free()
    expect(t.calledNow()).toEqual([1])
    const again = t.turns.open(0)
    expect(again.room.slots).toBe(2)
    t.turns.open(3).answered(NOTHING_DUE)
    again.failed()
    expect(t.calledNow()).toEqual([3])
    expect(t.look(3, 1)).toBe(1)
    t.look(1, 0)
    expect(t.calledNow()).toEqual([])
  })
})
