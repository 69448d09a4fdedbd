import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { createShardOwnership } from '../../../src/membership/ownership.ts'

const SHARDS = Array.from({ length: 64 }, (_, shard) => shard)

/** Each server's idea of who is on duty, by shard. */
function dutiesOf(ids: readonly string[], random = () => 0.5) {
  return ids.map((id) => {
    const duty = createShardOwnership(id, () => 8, random)
    duty.record(ids)
    return duty
  })
}

describe('of servers that know of each other', () => {
  it('exactly one is on duty in each shard, and each in about as many', () => {
    const ids = ['k2Jd9sLq0aXz', '10OcBAkvP43w', 'Zt5-x_Qe77Lm', 'aaaaaaaaaaaa']
    const duties = dutiesOf(ids)
    const shares = new Map<number, number>()
    for (const shard of SHARDS) {
      const on = duties.flatMap((duty, i) => (duty.standbyDelayMs(shard) === 0 ? [i] : []))
      expect(on).toHaveLength(1)
      shares.set(on[0] ?? -1, (shares.get(on[0] ?? -1) ?? 0) + 1)
    }
    for (const share of shares.values()) expect(share).toBeGreaterThan(5)
    expect(shares.size).toBe(4)
  })

  it('only the shards of the one that goes change hands', () => {
    const [a, b] = dutiesOf(['a', 'b', 'c'])
    const before = SHARDS.map((shard) => [a, b].map((duty) => duty?.standbyDelayMs(shard) === 0))
    for (const duty of [a, b]) duty?.record(['a', 'b'])
    for (const shard of SHARDS) {
      const now = [a, b].map((duty) => duty?.standbyDelayMs(shard) === 0)
      if (before[shard]?.includes(true)) expect(now).toEqual(before[shard])
      else expect(now.filter(Boolean)).toHaveLength(1)
    }
  })

  it('those that are not on duty look the later the more of them there are', () => {
    const ids = Array.from({ length: 11 }, (_, i) => `server-${i}`)
    const asides = dutiesOf(ids).map((duty) => duty.standbyDelayMs(0))
    expect(asides.filter((ms) => ms === 0)).toHaveLength(1)
    expect(asides.filter((ms) => ms === 1_500)).toHaveLength(10)
  })
})

it('looks half as often into each of many shards', () => {
  const aside = [1, 8, 16, 64].map((shards) => {
    const duty = createShardOwnership(
      'a',
      () => shards,
      () => 0.5,
    )
    duty.record(['b', 'c'])
    return duty.standbyDelayMs(0)
  })
  expect(aside).toEqual([300, 300, 600, 600])
})

it('is on duty everywhere as long as it knows of nobody else', () => {
  const duty = createShardOwnership(
    'a',
    () => 8,
    () => 0.5,
  )
  expect(SHARDS.map((shard) => duty.standbyDelayMs(shard))).toEqual(SHARDS.map(() => 0))
  duty.record(['a'])
  expect(SHARDS.map((shard) => duty.standbyDelayMs(shard))).toEqual(SHARDS.map(() => 0))
})

it('helps where it finds messages late, and there only', () => {
  const [a, b] = dutiesOf(['a', 'b'])
  const ofOthers = SHARDS.filter((shard) => a?.standbyDelayMs(shard) !== 0)
  const [first = -1, second = -1] = ofOthers
  a?.observeLateness(first, 51)
  a?.observeLateness(second, 50)
  expect(a?.standbyDelayMs(first)).toBe(0)
  expect(a?.standbyDelayMs(second)).toBe(150)
  expect(b?.standbyDelayMs(first)).toBe(0)
})

it('comes soon when it is called, and once', () => {
  const [a, b] = dutiesOf(['a', 'b'])
  const shard = SHARDS.find((each) => a?.standbyDelayMs(each) !== 0) ?? -1
  expect(b?.requestHelp(shard)).toBe(null)
  expect(a?.requestHelp(shard)).toBe(0.1)
  expect(a?.requestHelp(shard)).toBe(null)
  expect(a?.standbyDelayMs(shard)).toBe(0)
})

it('takes a smaller share of what is due the more servers there are, but not for many small claims', () => {
  const [alone] = dutiesOf(['a'])
  const [ofThree] = dutiesOf(['a', 'b', 'c'])
  const [ofTwenty] = dutiesOf(Array.from({ length: 20 }, (_, i) => `s${i}`))
  expect([alone, ofThree, ofTwenty].map((duty) => duty?.batchShare(500))).toEqual([500, 167, 100])
  expect(ofTwenty?.batchShare(30)).toBe(30)
})

it('helps for longer each time it was right to, as the one on duty may never be well again', () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  onTestFinished(() => void vi.useRealTimers())
  const [a] = dutiesOf(['a', 'b'])
  const shard = SHARDS.find((each) => a?.standbyDelayMs(each) !== 0) ?? -1
  for (const ms of [5_000, 10_000, 20_000]) {
    a?.observeLateness(shard, 60)
    vi.advanceTimersByTime(ms - 1)
    expect(a?.standbyDelayMs(shard)).toBe(0)
    vi.advanceTimersByTime(1)
    expect(a?.standbyDelayMs(shard)).toBe(150)
  }
  // Who comes or goes may be who was not well.
  a?.record(['a', 'b', 'c'])
  const theirs = SHARDS.find((each) => a?.standbyDelayMs(each) !== 0) ?? -1
  a?.observeLateness(theirs, 60)
  vi.advanceTimersByTime(5_000)
  expect(a?.standbyDelayMs(theirs)).toBeGreaterThan(0)
})

it('is on duty nowhere while its own console takes nothing and others are there', () => {
  const duty = createShardOwnership(
    'a',
    () => 8,
    () => 0.5,
  )
  duty.record(['b', 'c'])
  expect(SHARDS.filter((shard) => duty.standbyDelayMs(shard) === 0)).toEqual([])
  duty.record([])
  expect(SHARDS.filter((shard) => duty.standbyDelayMs(shard) !== 0)).toEqual([])
  duty.record(['a', 'b'])
  expect(SHARDS.filter((shard) => duty.standbyDelayMs(shard) === 0).length).toBeGreaterThan(10)
})
