import { describe, expect, it } from 'vitest'
import {
  decodeLeaseToken,
  encodeLeaseToken,
  isForLane,
  makeSecret,
  originOf,
} from '../../../src/leases/lease-token.ts'

const ORIGIN = { serverId: 'k2Jd9sLq0aXz', at: 1_730_104_372_243 }

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
    const token = encodeLeaseToken({ ...largest, secret: makeSecret('pull:jobs', ORIGIN) })
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

describe('a secret', () => {
  it('is one that nobody can guess: 64 bits, never the same', () => {
    const secrets = Array.from({ length: 1_000 }, () => makeSecret('pull:jobs', ORIGIN))
    expect(new Set(secrets.map((secret) => secret.slice(0, 10))).size).toBe(1_000)
    for (const secret of secrets) expect(secret).toMatch(/^[\w-]{22}$/)
  })

  it('tells the lane it was made for from others', () => {
    const token = encodeLeaseToken({ ...lease, secret: makeSecret('pull:jobs', ORIGIN) })
    const proof = decodeLeaseToken(token) ?? lease
    expect(isForLane(proof, 'pull:jobs')).toBe(true)
    for (const other of ['pull:job', 'pull:Jobs', 'pull:', ''])
      expect(isForLane(proof, other), other).toBe(false)
  })

  it('tells when it was granted, and by which of the servers', () => {
    const others = Array.from({ length: 20 }, (_, i) => `server-${i}`)
    const { serverId, at } = ORIGIN
    const secret = makeSecret('pull:jobs', ORIGIN)
    const tenth = Math.floor(at / 100) * 100
    for (const later of [0, 99, 30_000, 28 * 3_600_000]) {
      expect(originOf(secret, at + later, [...others, serverId])).toEqual({ at: tenth, server: serverId })
    }
    expect(originOf(secret, at, others)).toEqual({ at: tenth, server: null })
    expect(originOf(secret, at, [serverId, serverId])).toEqual({ at: tenth, server: null })
    for (const text of ['', 'server:1']) expect(originOf(text, at, others)).toBeUndefined()
  })
})
