import { TypeCompiler } from '@sinclair/typebox/compiler'
import { describe, expect, it } from 'vitest'
import { NewMessageBody, PatchBody } from '../../../src/http/v1/messages/schemas.ts'
import { parseAt, parseDelay } from '../../../src/http/validation/time.ts'
import { explain } from '../../../src/http/validation/validation.ts'

const NOW = 1_730_104_372_243

describe('the refusal of a time', () => {
  it.each([
    ['2030-01-01', 'a date without a time of day'],
    ['20300101', 'a date in the basic format, without a time of day'],
    ['2030-01-01T09:00:00', 'a local time, without an offset or Z'],
    ['2030-01-01T09:00', 'a local time, without an offset or Z'],
    ['20300101T090000Z', 'the basic format, without hyphens and colons'],
    ['20300101T0900+0100', 'the basic format, without hyphens and colons'],
    ['2030-W01-2', 'a week date'],
    ['2030W012T09:00:00Z', 'a week date'],
    ['2030-001', 'an ordinal date, a day of the year'],
    ['2030-001T09:00:00Z', 'an ordinal date, a day of the year'],
    ['2030-01', 'a month without a day'],
    ['2030-01-01 09:00:00Z', 'a time with a space in place of the T'],
    ['2030-01-01 09:00', 'a time with a space in place of the T'],
    ['2030-01-01T09:00:00,5Z', 'a time with a comma before its fraction'],
    ['2030-01-01T09:00:00+01', 'a time whose offset has no minutes'],
    ['2030-01-01T09Z', 'a time without minutes'],
    ['2030-01-01T09:00:00.1234567890Z', 'a time with more than nine digits of fraction'],
    ['2030-01-01T09:00:00+01:00[Europe/Berlin]', 'a time with the name of a zone'],
    ['2016-12-31T23:59:60Z', 'a leap second'],
    ['2030-01-01T24:00:00Z', 'midnight as 24:00: it is 00:00 of the next day'],
    ['2030-02-30T00:00:00Z', 'a day or a time of day that does not exist'],
    ['2030-01-01T09:60:00Z', 'a day or a time of day that does not exist'],
    ['2030-01-01T09:00:00+25:00', 'a day or a time of day that does not exist'],
    ['+002030-01-01T09:00:00Z', 'a year with a sign'],
    ['Tue, 01 Jan 2030 09:00:00 GMT', 'a date of HTTP or e-mail'],
    ['01/02/2030 09:00', 'a date in the order of a country'],
    [' 2030-01-01T09:00:00Z', 'a time with white space around it'],
    ['2030-01-01T09:00:00Z\n', 'a time with white space around it'],
    ['1730104372243', 'epoch time as a string: send it as a number'],
    ['PT5M', 'an ISO 8601 duration: a delay says how long from now'],
    ['90s', 'a duration: a delay says how long from now'],
    [1_730_104_372_243_000, 'epoch microseconds'],
    [1_730_104_372_243_000_000, 'epoch nanoseconds'],
  ])('says the accepted form, and of %j what it looks like: %s', (value, like) => {
    expect(parseAt(value)).toBe(
      'must be RFC 3339 (ISO 8601 with an offset or Z), as "2030-01-01T09:00:00Z", ' +
        `or epoch milliseconds (an integer); this looks like ${like}`,
    )
  })

  it.each(['', 'tomorrow', 'x'.repeat(100_000)])(
    'says the accepted form, and no more where it looks like nothing known',
    (value) => {
      expect(parseAt(value)).toMatch(/^must be RFC 3339 [^;]*\(an integer\)$/)
    },
  )

  it('says that digits are a number in a query', () => {
    expect(parseAt('1730104372243', { inQuery: true })).toBe(NOW)
    expect(parseAt('1730104372243000', { inQuery: true })).toMatch(/looks like epoch microseconds$/)
    expect(parseAt('1730104372243000000', { inQuery: true })).toMatch(/looks like epoch nanoseconds$/)
  })

  it('says that its year has five digits, if it has', () => {
    expect(parseAt('9999-12-31T23:59:59.9991Z')).toBe('must be no later than 9999-12-31')
    for (const ms of [253_402_300_800_000, 2e17, 1e21])
      expect(parseAt(ms)).toBe('must be no later than 9999-12-31')
  })
})

describe('the refusal of a delay', () => {
  const check = TypeCompiler.Compile(NewMessageBody)

  it.each([
    ['PT90S', 'an ISO 8601 duration'],
    ['P1D', 'an ISO 8601 duration'],
    ['-5s', 'a negative duration'],
    [-5, 'a negative duration'],
    [1.5, 'a number with a fraction'],
    ['90', 'a number as a string: send milliseconds as a number, or add a unit'],
    ['90 s', 'a duration with white space in it'],
    ['1.5h', 'a duration with a fraction'],
    ['90S', 'a duration whose unit is a capital letter'],
    ['100ms', 'milliseconds: send them as a number'],
    ['5min', 'a duration of another unit'],
    ['1w', 'a duration of another unit'],
    ['1h30m', 'a duration of several units'],
    ['00:05:00', 'a time of day'],
    ['2030-01-01T09:00:00Z', 'a point in time: send it as at'],
  ])('says the accepted form, and of %j what it looks like: %s', (delay, like) => {
    const [error] = explain(check.Errors({ payload: 1, delay }))
    expect(error?.path).toBe('/delay')
    expect(error?.message).toMatch(
      /^must be whole milliseconds, 0 or more, or digits and one of s, m, h, d, as "90s"; /,
    )
    expect(error?.message.endsWith(`; this looks like ${like}`), error?.message).toBe(true)
  })

  it('says the accepted form, and no more where it looks like nothing known', () => {
    expect(parseDelay('soon', NOW)).toMatch(/as "90s"$/)
    expect(parseDelay(2 ** 60, NOW)).toMatch(/as "90s"$/)
  })
})

it('a time that is no string and no integer is told so in every field', () => {
  const like = /this looks like a number with a fraction$/
  for (const [schema, body] of [
    [NewMessageBody, { payload: 1, at: 1.5 }],
    [NewMessageBody, { payload: 1, notAfter: 1.5 }],
    [PatchBody, { at: 1.5 }],
    [PatchBody, { notAfter: 1.5 }],
  ] as const) {
    const [error] = explain(TypeCompiler.Compile(schema).Errors(body))
    expect(error?.message).toMatch(like)
  }
})
