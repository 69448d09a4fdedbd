import { describe, expect, it } from 'vitest'
import { createIdMaker, shardOfClientId } from '../../../src/domain/message-id.ts'
import { createShardMap } from '../../../src/shards/shard-map.ts'
import { RAISE_DELAY_MS } from '../../../src/store/scripts/shard-counts.ts'

const IDS = Array.from({ length: 200 }, (_, i) => `message-${i}`)
const T = 1_795_487_896_890

/** A book with a clock that a test sets. */
function bookAt(shards: number, at = T) {
  const clock = { now: at }
  return { clock, book: createShardMap(shards, () => clock.now) }
}

/** From 2 to 6 shards at T + 30 s, read at T. */
function raised() {
  const { clock, book } = bookAt(2)
  const from = T + RAISE_DELAY_MS
  book.record({ now: T, counts: [{ count: 2, from: 0 }] })
  book.record({
    now: T,
    counts: [
      { count: 2, from: 0 },
      { count: 6, from },
    ],
  })
  const readAgain = () => {
    const counts = [
      { count: 2, from: 0 },
      { count: 6, from },
    ]
    book.record({ now: clock.now, counts })
  }
  return { clock, book, from, readAgain }
}

const moves = (id: string) => shardOfClientId(id, 2) !== shardOfClientId(id, 6)
const [mover = '', stayer = ''] = [IDS.find(moves), IDS.find((id) => !moves(id))]

describe('before anything is known', () => {
  it('looks into what it was started with, and stores nothing of a client', () => {
    const { book } = bookAt(5)
    expect(book).toMatchObject({ all: 5, writable: 1, isRecorded: false })
    for (const id of IDS) expect(book.placementOf(id)?.validUntil).toBe(0)
  })
})

describe('a number that was always used', () => {
  it('is used, for as long as what was read holds', () => {
    const { book } = bookAt(5)
    book.record({ now: T, counts: [{ count: 5, from: 0 }] })
    expect(book).toMatchObject({ all: 5, writable: 5, isRecorded: true })
    for (const id of IDS) {
      const shard = shardOfClientId(id, 5)
      expect(book.placementOf(id)).toEqual({ shard, others: [], validUntil: T + RAISE_DELAY_MS })
      expect(book.shardsOf(id)).toEqual([shard])
    }
  })
})

describe('a raised number', () => {
  it('is looked into at once and told of once', () => {
    const { clock, book } = bookAt(2)
    const heard: number[] = []
    book.onGrow(() => heard.push(book.all))
    book.record({ now: T, counts: [{ count: 2, from: 0 }] })
    const counts = [
      { count: 2, from: 0 },
      { count: 6, from: T + RAISE_DELAY_MS },
    ]
    book.record({ now: T, counts })
    clock.now += 60_000
    book.record({ now: T, counts })
    expect(heard).toEqual([6])
    const inNewest = createIdMaker().next(5, T)
    expect(book.shardsOf(inNewest)).toEqual([5])
    expect(book.shardsOf(mover)).toEqual([shardOfClientId(mover, 6), shardOfClientId(mover, 2)])
  })

  it('is not written to before its time, and then later than the old one ends', () => {
    const { clock, book, from, readAgain } = raised()
    const places = () => IDS.map((id) => book.placementOf(id))
    clock.now = from - 1
    readAgain()
    expect(book.writable).toBe(2)
    for (const [i, place] of places().entries()) {
      const id = IDS[i] ?? ''
      expect(place?.shard).toBe(shardOfClientId(id, 2))
      expect(place?.validUntil).toBe(moves(id) ? from : clock.now + RAISE_DELAY_MS)
    }
    for (clock.now = from; clock.now < from + 500; clock.now += 499) {
      expect(book.writable).toBe(2)
      expect(book.placementOf(mover)).toBeUndefined()
      expect(book.placementOf(stayer)?.shard).toBe(shardOfClientId(stayer, 2))
    }
    clock.now = from + 500
    expect(book.writable).toBe(6)
    for (const [i, place] of places().entries()) {
      const id = IDS[i] ?? ''
      expect(place?.shard).toBe(shardOfClientId(id, 6))
      expect(place?.others).toEqual(moves(id) ? [shardOfClientId(id, 2)] : [])
    }
  })

  it('takes its turn behind another that was raised before', () => {
    const { clock, book } = bookAt(2)
    const counts = [
      { count: 2, from: 0 },
      { count: 4, from: T + 1_000 },
      { count: 8, from: T + 2_000 },
    ]
    book.record({ now: T, counts })
    const writable = [0, 1_499, 1_500, 2_499, 2_500].map((ms) => {
      clock.now = T + ms
      return book.writable
    })
    expect(writable).toEqual([2, 2, 4, 4, 8])
    clock.now = T
    for (const id of IDS) {
      const [two, four, eight] = [2, 4, 8].map((count) => shardOfClientId(id, count))
      const validUntil = two !== four ? T + 1_000 : two !== eight ? T + 2_000 : T + RAISE_DELAY_MS
      expect(book.placementOf(id)?.validUntil).toBe(validUntil)
    }
  })
})

it('a Redis that has forgotten that there were more shards leaves none of them out', () => {
  const { book } = raised()
  book.record({ now: T, counts: [{ count: 2, from: 0 }] })
  expect(book).toMatchObject({ all: 6, writable: 2 })
  expect(book.shardsOf(mover)).toHaveLength(2)
  expect(book.placementOf(mover)?.others).toEqual([shardOfClientId(mover, 6)])
})
