import { describe, expect, it } from 'vitest'
import { createSlots } from '../../../src/worker/slots.ts'

const slotsOf = (total: number, perHost: number) => createSlots({ total, perHost, onFree: () => undefined })

describe('the slots', () => {
  it('are counted in all and for each host that has deliveries under way', () => {
    const slots = slotsOf(5, 2)
    expect(slots.room()).toEqual({ slots: 5, hostSlots: 2, reserve: 1, lanes: new Map() })
    slots.take('a')
    slots.take('b')
    slots.take('a')
    expect(slots.room()).toEqual({
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
    expect(slots.room()).toEqual({ slots: 4, hostSlots: 2, reserve: 1, lanes: new Map([['a', 1]]) })
    slots.free('a')
    expect(slots.room()).toEqual({ slots: 5, hostSlots: 2, reserve: 1, lanes: new Map() })
  })

  it('tell of each that becomes free, once it is counted as free', () => {
    const seen: (number | undefined)[] = []
    const slots = createSlots({
      total: 3,
      perHost: 3,
      onFree: () => seen.push(slots.room().slots, slots.releaseCount()),
    })
    slots.take('a')
    slots.take('b')
    expect([seen, slots.releaseCount()]).toEqual([[], 0])
    slots.free('a')
    slots.free('b')
    expect(seen).toEqual([2, 1, 3, 2])
  })

  it('can be full for one host while other hosts have some', () => {
    const slots = slotsOf(10, 2)
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
    const slots = slotsOf(10, 2)
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
