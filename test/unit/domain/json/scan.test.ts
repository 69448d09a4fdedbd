import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { JsonError, scanValue } from '../../../../src/domain/json/scan.ts'

/** JSON text of any value, with white space wherever it may be, or none. */
const spaced = fc
  .tuple(fc.jsonValue({ maxDepth: 6 }), fc.constantFrom(undefined, 1, '\t', '\n \r'))
  .map(([value, space]) => JSON.stringify(value, null, space))

/** Text that is often nearly JSON, and sometimes is. */
const nearly = fc.array(
  fc.constantFrom(
    ...[
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      '"a"',
      '"\\u0041"',
      '"\\x"',
      '\\',
      'true',
      'null',
      'nul',
      ' ',
      '\n',
    ],
    ...[
      '0',
      '-',
      '1',
      '.5',
      'e',
      '1e5',
      '-0',
      '01',
      '1.',
      '\u0001',
      'ü',
      '\u2028',
      '"\ud83d\ude00"',
      '/',
      '\u00a0',
    ],
  ),
  { maxLength: 8 },
)

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** Whether the whole text is one value. */
const isValue = (text: string): boolean => {
  try {
    return scanValue(text, 0).end === text.length
  } catch (error) {
    expect(error).toBeInstanceOf(JsonError)
    return false
  }
}

describe('scanning a value', () => {
  it('leaves its white space out, and nothing else', () => {
    fc.assert(
      fc.property(spaced, fc.constantFrom('', ' ', '\n'), (text, before) => {
        const scanned = scanValue(before + text, 0)
        expect(scanned).toMatchObject({
          text: JSON.stringify(JSON.parse(text)),
          end: before.length + text.length,
        })
      }),
    )
  })

  it.each([
    ['1.0'],
    ['-0'],
    ['1e400'],
    ['1850000000000000001'],
    [`0.${'123456789'.repeat(12)}`],
    ['{"a":1,"a":2}'],
    ['{"__proto__":{"a":1},"2":1,"1":2}'],
    ['"\\/\\u0041\\ud800\\"\\\\"'],
    [`"${'\\n'.repeat(40)} ${'x'.repeat(40)}\\"  "`],
    [`"${'x'.repeat(1_048_576)}"`],
    ['{"a":[],"b":{},"":null}'],
    ['"\u2028\u2029\u007f"'],
  ])('keeps %.60s as it is', (text) => {
    expect(scanValue(text, 0).text).toBe(text)
    expect(scanValue(`[ ${text} ,${text}]`, 0).text).toBe(`[${text},${text}]`)
  })

  it('takes what the runtime takes, and nothing else', () => {
    fc.assert(
      fc.property(nearly, (parts) => {
        const text = parts.join('')
        // In brackets nothing can follow the value unseen.
        expect(isValue(`[${text}]`)).toBe(isJson(`[${text}]`))
        expect(isValue(`{"a":${text}}`)).toBe(isJson(`{"a":${text}}`))
      }),
      { numRuns: 5_000 },
    )
  })

  it('tells how deep a value is, whatever its depth', () => {
    expect(scanValue('"a"', 0).depth).toBe(0)
    expect(scanValue('[[],{"a":[1]}]', 0).depth).toBe(3)
    const DEEP = 300_000
    expect(scanValue('['.repeat(DEEP) + ']'.repeat(DEEP), 0).depth).toBe(DEEP)
    expect(() => scanValue('{"a":['.repeat(DEEP), 0)).toThrow(JsonError)
  })

  it('begins and ends where it is told', () => {
    expect(scanValue('{"a": {"b" : 1} }', 5)).toEqual({ text: '{"b":1}', end: 15, depth: 1 })
  })
})
