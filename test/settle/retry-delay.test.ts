import { describe, expect, it } from 'vitest'
import { retryDelayMs } from '../../src/settle/retry-delay.ts'

describe('the wait after a failure', () => {
  it('doubles from a second to an hour', () => {
    expect([1, 2, 3, 12, 13, 2_000].map((failures) => retryDelayMs(failures, 1))).toEqual([
      1_000, 2_000, 4_000, 2_048_000, 3_600_000, 3_600_000,
    ])
  })

  it('is drawn from nothing to all of that, so that failures do not come back together', () => {
    expect(retryDelayMs(3, 0)).toBe(0)
    expect(retryDelayMs(3, 0.5)).toBe(2_000)
  })
})
