import { expect, it } from 'vitest'
import { createRestartBackoff } from '../../../src/supervisor/restart-backoff.ts'

it('a process that had lived is followed at once, and so is the first that dies young', () => {
  const patience = createRestartBackoff()
  expect([60_000, 60_000, 10_000, 9_999].map(patience.delayAfter)).toEqual([0, 0, 0, 0])
})

it('one that dies young after the other waits twice as long each time, and never longer than 5 s', () => {
  const patience = createRestartBackoff()
  const waits = Array.from({ length: 2_000 }, () => patience.delayAfter(50))
  expect(waits.slice(0, 9)).toEqual([0, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000])
  expect(waits.at(-1)).toBe(5_000)
  expect(patience.delayAfter(10_000)).toBe(0)
  expect([50, 50].map(patience.delayAfter)).toEqual([0, 100])
})
