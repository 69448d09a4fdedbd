import { LAST_MS } from '../../domain/message.ts'
import { durationLike, timeLike } from './time-hints.ts'
import { InvalidRequestError } from './validation.ts'

/** Numbers below this are seconds: up to eleven digits, which as milliseconds ended in 1973. */
const SECONDS_BELOW = 1e11

const ISO_8601 =
  /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?(?:Z|([+-])(\d{2}):?(\d{2}))$/i

/** What the API takes as a time, and as a delay; in words that can follow "must be". */
export const AT_FORMS =
  'RFC 3339 (ISO 8601 with an offset or Z), as "2030-01-01T09:00:00Z", or epoch milliseconds (an integer)'
export const DELAY_FORMS = 'whole milliseconds, 0 or more, or digits and one of s, m, h, d, as "90s"'

/**
 * Reads a time as the API takes it: RFC 3339, or epoch milliseconds.
 *
 * @param value in a body a string or an integer; in a query digits are epoch milliseconds too
 * @returns epoch ms, 0 for anything before 1970, which is as past as any; or what is wrong, in words
 */
export function parseAt(value: number | string, { inQuery = false } = {}): number | string {
  const number =
    typeof value === 'number' ? value : inQuery && /^\d{1,20}$/.test(value) ? Number(value) : undefined
  if (number === undefined) {
    const ms = fromIso(String(value))
    if (ms === undefined) return refused(AT_FORMS, timeLike(value))
    return ms > LAST_MS ? 'must be no later than 9999-12-31' : Math.max(0, ms)
  }
  const unit = timeLike(number)
  if (unit !== undefined) return refused(AT_FORMS, unit)
  if (number > LAST_MS) return 'must be no later than 9999-12-31'
  if (!Number.isSafeInteger(number)) return refused(AT_FORMS, undefined)
  if (number < SECONDS_BELOW) return 'looks like seconds: it must be epoch milliseconds (or ISO 8601)'
  return number
}

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Reads a delay: ms, or digits and one of s, m, h, d. @returns ms, or what is wrong, in words */
export function parseDelay(value: number | string, now: number): number | string {
  const [, digits, unit = ''] = typeof value === 'string' ? (/^(\d{1,15})([smhd])$/.exec(value) ?? []) : []
  const ms = typeof value === 'number' ? value : Number(digits) * (UNIT_MS[unit] ?? 1)
  if (Number.isNaN(ms) || ms < 0 || (typeof value === 'number' && !Number.isSafeInteger(ms)))
    return refused(DELAY_FORMS, durationLike(value))
  return now + ms > LAST_MS ? 'must end no later than 9999-12-31' : ms
}

const refused = (forms: string, like: string | undefined): string =>
  like === undefined ? `must be ${forms}` : `must be ${forms}; this looks like ${like}`

/**
 * Reads a time as the original service took it: epoch milliseconds or seconds, as a number or as digits
 * (up to eleven digits are seconds), or ISO 8601 with an offset or Z.
 *
 * @returns epoch ms, rounded up, so that nothing is ever early; undefined when it is no such time
 */
export function parseTime(value: number | string): number | undefined {
  const ms =
    typeof value === 'number'
      ? fromNumber(value)
      : /^\d+$/.test(value)
        ? fromNumber(Number(value))
        : fromIso(value)
  return ms !== undefined && Math.abs(ms) <= LAST_MS ? ms : undefined
}

function fromNumber(value: number): number | undefined {
  if (!Number.isFinite(value)) return undefined
  return Math.ceil(Math.abs(value) < SECONDS_BELOW ? value * 1_000 : value)
}

/** Unlike Date.parse it wants an offset, and refuses days that do not exist. */
function fromIso(text: string): number | undefined {
  const match = ISO_8601.exec(text)
  if (match === null) return undefined
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((digits) => Number(digits ?? 0))
  if (year === undefined || month === undefined || day === undefined) return undefined
  if (hour === undefined || minute === undefined || second === undefined) return undefined
  const [fraction = '', sign, offsetHour = '0', offsetMinute = '0'] = match.slice(7)
  if (hour > 23 || minute > 59 || second > 59 || Number(offsetHour) > 23 || Number(offsetMinute) > 59)
    return undefined

  const midnight = new Date(0)
  midnight.setUTCFullYear(year, month - 1, day)
  if (midnight.getUTCMonth() !== month - 1 || midnight.getUTCDate() !== day) return undefined
  const offsetMinutes = (sign === '-' ? -1 : 1) * (Number(offsetHour) * 60 + Number(offsetMinute))
  const ofDay = ((hour * 60 + minute - offsetMinutes) * 60 + second) * 1_000
  return midnight.getTime() + ofDay + Math.ceil(Number(`0.${fraction}`) * 1_000)
}

/** A time of the query string. @throws InvalidRequestError naming its field */
export function timeOf(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  const ms = parseAt(value, { inQuery: true })
  if (typeof ms === 'string') throw new InvalidRequestError([{ path: `/${name}`, message: ms }])
  return ms
}
