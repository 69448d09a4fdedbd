import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Histogram } from '../../../src/traffic/histogram.ts'

const of = (all: readonly number[]) => {
  const histogram = new Histogram()
  for (const ms of all) histogram.add(ms)
  return histogram
}
const exactQuantile = (all: readonly number[], q: number) =>
  [...all].sort((a, b) => a - b)[Math.max(0, Math.ceil(q * all.length) - 1)] ?? 0
const ms = fc.oneof(fc.nat(20), fc.nat(5_000), fc.nat(86_400_000))

it('a quantile is right to within 5 %, and the maximum exactly', () => {
  fc.assert(
    fc.property(fc.array(ms, { minLength: 1, maxLength: 200 }), fc.constantFrom(0.5, 0.99, 1), (all, q) => {
      const histogram = of(all)
      const exact = exactQuantile(all, q)
      expect(histogram.max).toBe(Math.max(...all))
      expect(Math.abs((histogram.quantile(q) ?? Number.NaN) - exact)).toBeLessThanOrEqual(0.05 * exact + 0.5)
    }),
  )
})

it('histograms merge into that of all, also by way of text', () => {
  fc.assert(
    fc.property(fc.array(ms), fc.array(ms), (some, others) => {
      const merged = Histogram.parse(String(of(some)))
      merged.merge(Histogram.parse(String(of(others))))
      const all = of([...some, ...others])
      expect([merged.count, merged.max]).toEqual([all.count, all.max])
      for (const q of [0.5, 0.99]) expect(merged.quantile(q)).toBe(all.quantile(q))
    }),
  )
})

it('none has no quantile, no maximum and no text', () => {
  expect([of([]).quantile(0.5), of([]).max, String(of([]))]).toEqual([null, 0, ''])
})

it('a time that is less than 0 counts as 0', () => {
  expect([of([-5]).quantile(0.5), of([-5]).max]).toEqual([0, 0])
})

it('text that makes no sense is left out', () => {
  expect(Histogram.parse('7 1:2 x 999:1:1 4:-1').count).toBe(2)
})
