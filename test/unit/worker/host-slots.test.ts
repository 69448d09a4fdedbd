import { describe, expect, it } from 'vitest'
import { createHostSlots, type HostSlots } from '../../../src/worker/host-slots.ts'

/** Slots, and how often it was told that one is free. */
function slotsOf(total: number, perHost: number) {
  let told = 0
  const slots = createHostSlots({ total, perHost, onFree: () => (told += 1) })
  return { slots, told: () => told }
}

/** What a claim would be told now. */
function roomOf(slots: HostSlots) {
  const offer = slots.open()
  offer?.close()
  return offer?.room
}

describe('the slots', () => {
  it('are counted in all and for each host that has deliveries under way', () => {
    const { slots } = slotsOf(5, 2)
    expect(roomOf(slots)).toEqual({ slots: 5, hostSlots: 2, reserve: 1, lanes: new Map() })
    slots.take('a')
    slots.take('b')
    slots.take('a')
    expect(roomOf(slots)).toEqual({
      slots: 2,
      hostSlots: 2,
      reserve: 1,
      lanes: new Map([
        ['a', 0],
        ['b', 1],
      ]),
    })
    slots.free('a')
    slots.free('b')
    // A host that has none under way needs no mention.
    expect(roomOf(slots)).toEqual({ slots: 4, hostSlots: 2, reserve: 1, lanes: new Map([['a', 1]]) })
    slots.free('a')
    expect(roomOf(slots)).toEqual({ slots: 5, hostSlots: 2, reserve: 1, lanes: new Map() })
  })

  it('are promised to one claim at a time', () => {
    const { slots } = slotsOf(5, 2)
    const first = slots.open()
    expect(first).toBeDefined()
    expect(slots.open()).toBeUndefined()
    expect(slots.open()).toBeUndefined()
    slots.take('a')
    first?.close()
    const second = slots.open()
    expect(second?.room.slots).toBe(4)
    expect(slots.open()).toBeUndefined()
    second?.close()
    expect(slots.open()).toBeDefined()
  })

  it('tell of each that becomes free, once it is counted as free', () => {
    const seen: (number | undefined)[] = []
    const slots = createHostSlots({
      total: 3,
      perHost: 3,
      onFree: () => seen.push(roomOf(slots)?.slots, slots.freed()),
    })
    slots.take('a')
    slots.take('b')
    expect([seen, slots.freed()]).toEqual([[], 0])
    slots.free('a')
    slots.free('b')
    expect(seen).toEqual([2, 1, 3, 2])
  })

  it('tell nobody when a claim was answered', () => {
    const { slots, told } = slotsOf(3, 3)
    const offer = slots.open()
    slots.open()
    offer?.close()
    expect([told(), slots.freed()]).toEqual([0, 0])
  })

  it('can be full for one host while those of others are not', () => {
    const { slots } = slotsOf(10, 2)
    slots.take('a')
    expect(slots.isFull('a')).toBe(false)
    slots.take('a')
    expect([slots.isFull('a'), slots.isFull('b')]).toEqual([true, false])
    slots.free('a')
    expect(slots.isFull('a')).toBe(false)
  })
})

describe('the hosts that were full', () => {
  it('are told once each, and as long as they are', () => {
    const { slots } = slotsOf(10, 2)
    expect(slots.takeSaturated()).toEqual([])
    slots.take('a')
    expect(slots.takeSaturated()).toEqual([])
    slots.take('a')
    slots.take('b')
    slots.take('b')
    slots.free('b')
    expect(slots.takeSaturated().sort()).toEqual(['a', 'b'])
    // "b" is not any more, and was not since.
    expect(slots.takeSaturated()).toEqual(['a'])
    slots.free('a')
    expect(slots.takeSaturated()).toEqual(['a'])
    expect(slots.takeSaturated()).toEqual([])
    slots.take('a')
    expect(slots.takeSaturated()).toEqual(['a'])
  })
})
