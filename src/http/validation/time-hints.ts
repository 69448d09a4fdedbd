/** What a time or a duration that is refused was probably meant as, in words that can follow "this looks like". */
type Form = readonly [pattern: RegExp, words: string]

const OFFSET = String.raw`(?:Z|[+-]\d{2}(?::?\d{2})?)`
const CLOCK = String.raw`\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?`
const form = (pattern: string, words: string): Form => [new RegExp(`^(?:${pattern})$`, 'i'), words]

/** The first that fits is told. */
const TIMES: readonly Form[] = [
  form(String.raw`\s.*|.*\s`, 'a time with white space around it'),
  form(String.raw`[+-]?\d+\.\d+`, 'a number with a fraction, as a string'),
  form(String.raw`\d{4}-\d{2}-\d{2}`, 'a date without a time of day'),
  form(String.raw`\d{8}`, 'a date in the basic format, without a time of day'),
  form(String.raw`\d+`, 'epoch time as a string: send it as a number'),
  form(String.raw`\d{4}-\d{2}-\d{2}T${CLOCK}`, 'a local time, without an offset or Z'),
  form(
    String.raw`\d{4}-\d{2}-\d{2}T24:00(?::00(?:\.0+)?)?${OFFSET}?`,
    'midnight as 24:00: it is 00:00 of the next day',
  ),
  form(String.raw`\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:60(?:\.\d+)?${OFFSET}?`, 'a leap second'),
  form(
    String.raw`\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2})?,\d+${OFFSET}?`,
    'a time with a comma before its fraction',
  ),
  form(String.raw`\d{4}-\d{2}-\d{2}[ _]${CLOCK} ?${OFFSET}?`, 'a time with a space in place of the T'),
  form(String.raw`\d{4}-\d{2}-\d{2}T${CLOCK}[+-]\d{2}`, 'a time whose offset has no minutes'),
  form(String.raw`\d{4}-\d{2}-\d{2}T\d{2}${OFFSET}?`, 'a time without minutes'),
  form(
    String.raw`\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{10,}${OFFSET}`,
    'a time with more than nine digits of fraction',
  ),
  form(String.raw`\d{4}-\d{2}-\d{2}T${CLOCK}${OFFSET}?\[.*\]`, 'a time with the name of a zone'),
  form(String.raw`\d{8}T\d{2,6}(?:[.,]\d+)?${OFFSET}?`, 'the basic format, without hyphens and colons'),
  form(String.raw`\d{4}-?W\d{2}(?:-?\d)?(?:T.*)?`, 'a week date'),
  form(String.raw`\d{4}-?\d{3}(?:T.*)?`, 'an ordinal date, a day of the year'),
  form(String.raw`\d{4}-\d{2}`, 'a month without a day'),
  form(String.raw`[+-]\d{4,6}-\d{2}-\d{2}.*`, 'a year with a sign'),
  form(String.raw`\d{4}-\d{2}-\d{2}T${CLOCK}${OFFSET}`, 'a day or a time of day that does not exist'),
  form(String.raw`[a-z]{3,9},? .*\d{2}:\d{2}.*`, 'a date of HTTP or e-mail'),
  form(String.raw`\d{1,2}[./]\d{1,2}[./]\d{2,4}.*`, 'a date in the order of a country'),
  form(String.raw`-?P.*\d.*`, 'an ISO 8601 duration: a delay says how long from now'),
  form(String.raw`\d+ ?[a-z]+`, 'a duration: a delay says how long from now'),
]

const DURATIONS: readonly Form[] = [
  form(String.raw`-?P.*\d.*`, 'an ISO 8601 duration'),
  form(String.raw`-.*\d.*`, 'a negative duration'),
  form(String.raw`\d+`, 'a number as a string: send milliseconds as a number, or add a unit'),
  form(String.raw`\s.*|\d+\s+[a-z]+\s*|\d+[a-z]+\s+`, 'a duration with white space in it'),
  form(String.raw`\d+[.,]\d+ ?[a-z]*`, 'a duration with a fraction'),
  [/^\d+[SMHD]$/, 'a duration whose unit is a capital letter'],
  form(String.raw`\d+ ?(?:ms|msecs?|milliseconds?)`, 'milliseconds: send them as a number'),
  form(String.raw`\d+(?:[a-z]+ ?\d+)+[a-z]+`, 'a duration of several units'),
  form(String.raw`\d+[a-zµμ]+`, 'a duration of another unit'),
  form(String.raw`\d+(?::\d+)+(?:\.\d+)?`, 'a time of day'),
  form(String.raw`\d{4}-\d{2}-\d{2}.*`, 'a point in time: send it as at'),
]

/** From 2001 to 5138. */
const isMicroseconds = (value: number) => value >= 1e15 && value < 1e17
const isNanoseconds = (value: number) => value >= 1e18 && value < 1e20

/** @returns undefined for what looks like nothing that is known */
export function timeLike(value: unknown): string | undefined {
  if (typeof value === 'string') return wordsFor(value, TIMES)
  if (typeof value !== 'number') return undefined
  if (isMicroseconds(value)) return 'epoch microseconds'
  if (isNanoseconds(value)) return 'epoch nanoseconds'
  return Number.isInteger(value) ? undefined : 'a number with a fraction'
}

/** @returns undefined for what looks like nothing that is known */
export function durationLike(value: unknown): string | undefined {
  if (typeof value === 'string') return wordsFor(value, DURATIONS)
  if (typeof value !== 'number') return undefined
  if (value < 0) return 'a negative duration'
  return Number.isInteger(value) ? undefined : 'a number with a fraction'
}

const LONGEST = 100
const wordsFor = (text: string, forms: readonly Form[]): string | undefined =>
  text.length > LONGEST ? undefined : forms.find(([pattern]) => pattern.test(text))?.[1]
