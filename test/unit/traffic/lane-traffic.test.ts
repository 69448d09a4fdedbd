import { expect, it } from 'vitest'
import {
  busiest,
  decodeLanes,
  encodeLanes,
  LaneTraffic,
  MOST_LANES,
  OTHER,
} from '../../../src/traffic/lane-traffic.ts'

function traffic(delivered: number, failed = 0): LaneTraffic {
  const made = new LaneTraffic()
  made.delivered = delivered
  for (let i = 0; i < failed; i += 1) {
    made.failed += 1
    made.retried += 1
    made.countCode('503')
    made.lastError = { at: i, reason: 'status 503' }
    made.took.add(40)
  }
  return made
}

it('lanes are the same again after they were text, and what is 0 takes no room', () => {
  const lanes = new Map([
    ['', traffic(3)],
    ['webhook:https://a.test', traffic(1, 2)],
  ])
  const text = encodeLanes(lanes)
  expect(JSON.parse(text)).toMatchObject({ '': { delivered: 3 } })
  expect(Object.keys(JSON.parse(text)[''])).toEqual(['delivered'])
  const again = decodeLanes(text)
  expect(encodeLanes(again)).toBe(text)
  expect(again.get('webhook:https://a.test')).toMatchObject({
    ...{ delivered: 1, failed: 2, retried: 2, dead: 0, lastError: { at: 1, reason: 'status 503' } },
    codes: new Map([['503', 2]]),
  })
})

it('text that no server has written counts as nothing', () => {
  for (const text of ['', '{', 'null', '[]', '5']) expect(decodeLanes(text).size, text).toBe(0)
})

it('the busiest lanes are kept apart, and the rest are one', () => {
  const lanes = new Map(Array.from({ length: MOST_LANES + 5 }, (_, i) => [`pull:q${i}`, traffic(i + 1, 1)]))
  const kept = busiest(new Map([...lanes, [OTHER, traffic(100)]]))
  expect(kept.size).toBe(MOST_LANES + 1)
  expect(kept.has('pull:q4')).toBe(false)
  expect(kept.has('pull:q5')).toBe(true)
  expect(kept.get(OTHER)).toMatchObject({ delivered: 1 + 2 + 3 + 4 + 5 + 100, failed: 5 })
  const few = new Map([['stream', traffic(1)]])
  expect([...busiest(few).keys()]).toEqual(['stream'])
})

it('the later of two errors is the last one', () => {
  const one = traffic(0, 1)
  const two = traffic(0, 3)
  one.merge(two)
  expect(one.lastError?.at).toBe(2)
  two.merge(traffic(0, 1))
  expect(two.lastError?.at).toBe(2)
})
