import { describe, expect, it } from 'vitest'
import { createRecordFormChoice, QUIET_MS } from '../../../src/membership/record-form.ts'

function setUp() {
  let now = 0
  const choice = createRecordFormChoice(() => now)
  return {
    current: choice.current,
    look(oldest: 1 | 2, atMs: number) {
      now = atMs
      choice.observe(oldest)
      return choice.current()
    },
  }
}

describe('The form in which destinations are stored', () => {
  it('is the older one before it is known who is alive, and for a while after', () => {
    const { current, look } = setUp()
    expect(current()).toBe(1)
    expect(look(2, 5_000)).toBe(1)
    expect(look(2, 5_000 + QUIET_MS - 1)).toBe(1)
    expect(look(2, 5_000 + QUIET_MS)).toBe(2)
    expect(current()).toBe(2)
  })

  it('is the older one again at once when an older server is seen, and then for the same while', () => {
    const { look } = setUp()
    look(2, 0)
    expect(look(2, QUIET_MS)).toBe(2)
    expect(look(1, QUIET_MS + 1)).toBe(1)
    expect(look(2, QUIET_MS + 2)).toBe(1)
    expect(look(2, 2 * QUIET_MS + 1)).toBe(1)
    expect(look(2, 2 * QUIET_MS + 2)).toBe(2)
  })
})
