import { describe, expect, it } from 'vitest'
import { decodeLeaseToken, encodeLeaseToken, makeSecret } from '../../src/pull/lease-token.ts'

const lease = {
  shard: 3,
  leasedAt: 1_730_104_372_243,
  lateMs: 17,
  claim: 4711,
  secret: 'kJ3_-x'.padEnd(22, 'a'),
}

describe('the token of a lease', () => {
  it('is read back as it was made', () => {
    const token = encodeLeaseToken(lease)
    expect(token).toBe('3.1730104372243.17.4711.kJ3_-xaaaaaaaaaaaaaaaa')
    expect(decodeLeaseToken(token)).toEqual(lease)
  })

  it('holds what is largest, and stays within what a body may name', () => {
    const largest = {
      ...lease,
      shard: 1_023,
      leasedAt: 253_402_300_799_999,
      lateMs: 253_402_300_799_999,
      claim: 1e14,
    }
    const token = encodeLeaseToken({ ...largest, secret: makeSecret() })
    expect(token.length).toBeLessThanOrEqual(200)
    expect(decodeLeaseToken(token)).toMatchObject({ ...largest, secret: expect.any(String) })
  })

  it.each([
    '',
    't',
    'kJ3_-xaaaaaaaaaaaaaaaa',
    '3.1.1.1',
    '3.1.1.1.',
    '3.1.1.1.short',
    '3.1.1.1.kJ3_-xaaaaaaaaaaaaaaaab',
    '3.1.1.1.kJ3_-xaaaaaaaaaaaaaaa!',
    '3.1.1.1.1.kJ3_-xaaaaaaaaaaaaaaaa',
    '-1.1.1.1.kJ3_-xaaaaaaaaaaaaaaaa',
    '1e1.1.1.1.kJ3_-xaaaaaaaaaaaaaaaa',
    '10000.1.1.1.kJ3_-xaaaaaaaaaaaaaaaa',
    '3..1.1.kJ3_-xaaaaaaaaaaaaaaaa',
    ' 3.1.1.1.kJ3_-xaaaaaaaaaaaaaaaa',
    '3.1.1.1.kJ3_-xaaaaaaaaaaaaaaaa\n',
  ])('is not %j', (text) => {
    expect(decodeLeaseToken(text)).toBeUndefined()
  })
})

it('a secret is one that nobody can guess: 128 bits, never the same', () => {
  const secrets = Array.from({ length: 1_000 }, makeSecret)
  expect(new Set(secrets).size).toBe(1_000)
  for (const secret of secrets) expect(secret).toMatch(/^[\w-]{22}$/)
})
