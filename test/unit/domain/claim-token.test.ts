import { describe, expect, it } from 'vitest'
import { createClaimTokens, readClaimToken, serverOf } from '../../../src/domain/claim-token.ts'

describe('the token of a claim', () => {
  it('is unique, and tells its server and when it was made', () => {
    const next = createClaimTokens('k2Jd-9s_q0aX', () => 1_730_104_372_243.7)
    const [one, two] = [next(), next()]
    expect(one).not.toBe(two)
    expect(readClaimToken(one)).toEqual({ server: 'k2Jd-9s_q0aX', at: 1_730_104_372_243 })
    expect(serverOf(two)).toBe('k2Jd-9s_q0aX')
  })

  it('is short enough that a lock takes no more memory than before', () => {
    const next = createClaimTokens('k2Jd-9s_q0aX', () => 1_893_488_400_000)
    for (let i = 0; i < 99_999; i += 1) next()
    // Redis keeps strings of up to 44 bytes in one piece with their head.
    expect(next().length).toBeLessThanOrEqual(44)
  })

  it('is read as older versions made it, without a time', () => {
    expect(readClaimToken('k2Jd9sLq0aXz:17')).toEqual({ server: 'k2Jd9sLq0aXz', at: null })
  })

  it('is no secret of a worker', () => {
    for (const text of ['', 'kJ3_-xaaaaaaaaaaaaaaaa', 'a:b', ':1'])
      expect(readClaimToken(text)).toBeUndefined()
    expect(serverOf('kJ3_-xaaaaaaaaaaaaaaaa')).toBe('')
  })
})
