import fc from 'fast-check'
import { stringify } from 'safe-stable-stringify'
import { describe, expect, it } from 'vitest'
import { canonicalOf } from '../../../../src/domain/json/canonical.ts'
import { canonicalNumber, isDouble } from '../../../../src/domain/json/decimal.ts'

/** A decimal number as its value: a whole number and the power of ten that it is multiplied by. */
interface Decimal {
  readonly digits: bigint
  readonly exponent: bigint
}

const decimal = fc.record({
  digits: fc.oneof(
    fc.bigInt({ min: -1_000n, max: 1_000n }),
    fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n }),
  ),
  exponent: fc.oneof(fc.bigInt({ min: -30n, max: 30n }), fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n })),
})

/** Some way to write it: with a point anywhere, with zeros that say nothing, with a large or a small e. */
const written = ({ digits, exponent }: Decimal, places: number, zeros: number, e: string): string => {
  const sign = digits < 0n ? '-' : ''
  const text = String(digits < 0n ? -digits : digits) + '0'.repeat(zeros)
  const padded = text.padStart(places + 1, '0')
  const whole = padded.slice(0, padded.length - places)
  const fraction = places === 0 ? '' : `.${padded.slice(padded.length - places)}`
  const power = exponent - BigInt(zeros) + BigInt(places)
  return `${sign}${whole}${fraction}${e}${power >= 0n && e === 'E' ? '+' : ''}${power}`
}
const form = fc.record({
  places: fc.nat({ max: 45 }),
  zeros: fc.nat({ max: 20 }),
  e: fc.constantFrom('e', 'E'),
})

const isSame = (a: Decimal, b: Decimal): boolean => {
  if (a.digits === 0n || b.digits === 0n) return a.digits === b.digits
  const [low, high] = a.exponent < b.exponent ? [a, b] : [b, a]
  const difference = high.exponent - low.exponent
  return difference < 100n && high.digits * 10n ** difference === low.digits
}

describe('the canonical form', () => {
  it('is the same for all spellings of a number', () => {
    fc.assert(
      fc.property(decimal, form, form, (value, one, other) => {
        const [a, b] = [one, other].map(({ places, zeros, e }) => written(value, places, zeros, e))
        expect(canonicalNumber(a ?? '')).toBe(canonicalNumber(b ?? ''))
      }),
      { numRuns: 1_000 },
    )
  })

  it('differs for numbers of different values', () => {
    fc.assert(
      fc.property(decimal, decimal, fc.bigInt({ min: -2n, max: 2n }), (a, b, near) => {
        for (const other of [b, { ...a, digits: a.digits + near }, { ...a, exponent: a.exponent + near }]) {
          const texts = [a, other].map((value) => canonicalNumber(written(value, 0, 0, 'e')))
          expect(texts[0] === texts[1]).toBe(isSame(a, other))
        }
      }),
      { numRuns: 1_000 },
    )
  })

  it.each([
    ['1.0', '1'],
    ['10e-1', '1'],
    ['-0', '0'],
    ['-0.00E-7', '0'],
    ['0e99999999999999999999', '0'],
    ['1e21', '1e+21'],
    ['100e400', '1e402'],
    ['1850000000000000001', '1850000000000000001e0'],
    ['10e99999999999999999999', '1e100000000000000000000'],
    ['0.1e1000000000000000000000', '1e999999999999999999999'],
    ['0.1e-999999999999999999999', '1e-1000000000000000000000'],
  ])('turns %s into %s', (text, canonical) => {
    expect(canonicalNumber(text)).toBe(canonical)
  })

  it('takes no longer than reading, for very long numbers', () => {
    const LONG = 1_000_000
    expect(canonicalNumber(`1${'0'.repeat(LONG)}1`)).toHaveLength(LONG + 4)
    expect(canonicalNumber(`10e${'9'.repeat(LONG)}`)).toBe(`1e1${'0'.repeat(LONG)}`)
    expect(canonicalNumber(`0.${'0'.repeat(LONG)}1e${LONG + 1}`)).toBe('1')
  })

  it("equals the former library's output for what parsing does not change", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
        expect(canonicalOf(JSON.stringify(value))).toBe(stringify(value))
      }),
      { numRuns: 1_000 },
    )
    const doubles = fc.double({ noNaN: true, noDefaultInfinity: true })
    fc.assert(
      fc.property(doubles, (value) => {
        expect(canonicalNumber(JSON.stringify(value))).toBe(stringify(value))
      }),
    )
  })

  it.each([
    ['{"b":1,"a":"\\u0041\\/","\\u0063":[]}', '{"a":"A/","b":1,"c":[]}'],
    ['{"10":1,"9":2,"__proto__":3}', '{"10":1,"9":2,"__proto__":3}'],
    ['"\\ud800\\u00e9\\n"', '"\\ud800é\\n"'],
    ['{"a":2,"b":0,"a":1}', '{"a":2,"a":1,"b":0}'],
    ['[true,false,null,-0]', '[true,false,null,0]'],
  ])('turns %s into %s', (text, canonical) => {
    expect(canonicalOf(text)).toBe(canonical)
  })
})

describe('whether a number is a double', () => {
  it.each(['0', '-0', '1.10', '123456789012345', '1730104372243.5', '1e21', '0.1', '9007199254740992'])(
    '%s is',
    (text) => {
      expect(isDouble(text)).toBe(true)
    },
  )
  it.each(['9007199254740993', '1e400', '-1e400', '0.12345678901234567890', '1e-400'])(
    '%s is not',
    (text) => {
      expect(isDouble(text)).toBe(false)
    },
  )
})
