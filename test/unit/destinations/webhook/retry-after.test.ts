import { describe, expect, it } from 'vitest'
import { parseRetryAfter } from '../../../../src/destinations/webhook/retry-after.ts'

const NOW = Date.UTC(2030, 0, 1)

describe('Retry-After', () => {
  it.each([
    ['0', 0],
    ['120', 120_000],
    ['-5', 0],
    ['9'.repeat(400), Number.MAX_SAFE_INTEGER],
    ['Tue, 01 Jan 2030 00:01:30 GMT', 90_000],
    ['Tuesday, 01-Jan-30 00:01:30 GMT', 90_000],
    ['Tue Jan  1 00:01:30 2030', 90_000],
    ['Thu Jan 31 00:00:00 2030', 30 * 86_400_000],
    ['Mon, 31 Dec 2029 23:59:59 GMT', 0],
    // More than 50 years ahead by its last digits, and so of the last century.
    ['Saturday, 01-Jan-81 00:00:00 GMT', 0],
    ['Monday, 01-Jan-80 00:00:00 GMT', Date.UTC(2080, 0, 1) - NOW],
  ])('reads %s', (text, ms) => {
    expect(parseRetryAfter(text, NOW)).toBe(ms)
  })

  it.each([
    '',
    'soon',
    '1.5',
    '1e3',
    '120 s',
    '0x10',
    'Tue, 01 Jan 2030 00:01:30',
    'Tue, 01 Jan 2030 25:01:30 GMT',
    '2030-01-01T00:01:30Z',
    'retry 1',
  ])('ignores what it cannot read: %j', (text) => {
    expect(parseRetryAfter(text, NOW)).toBeUndefined()
  })
})
