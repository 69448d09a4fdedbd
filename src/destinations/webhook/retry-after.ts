const SECONDS = /^-?\d+$/

/** The three forms of RFC 9110, 5.6.7; a recipient reads them all, and GMT is meant by each. */
const IMF_DATE = /^[A-Z][a-z]{2}, (\d{2}) ([A-Z][a-z]{2}) (\d{4}) (\d{2}:\d{2}:\d{2}) GMT$/
const RFC_850_DATE = /^[A-Z][a-z]{5,8}, (\d{2})-([A-Z][a-z]{2})-(\d{2}) (\d{2}:\d{2}:\d{2}) GMT$/
const ASCTIME_DATE = /^[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([ \d]\d) (\d{2}:\d{2}:\d{2}) (\d{4})$/

/**
 * Reads `Retry-After`: seconds, or an HTTP date.
 *
 * @param now epoch ms, which a date is held against
 * @returns ms from now, 0 for a time that has passed; undefined for what cannot be read
 */
export function parseRetryAfter(text: string, now: number): number | undefined {
  const ms = SECONDS.test(text) ? Number(text) * 1_000 : parseHttpDate(text, now) - now
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(0, ms), Number.MAX_SAFE_INTEGER)
}

/** @returns epoch ms, NaN for what is no HTTP date */
function parseHttpDate(text: string, now: number): number {
  const imf = IMF_DATE.exec(text)
  if (imf !== null) return Date.parse(`${imf[1]} ${imf[2]} ${imf[3]} ${imf[4]} GMT`)
  const asctime = ASCTIME_DATE.exec(text)
  if (asctime !== null) return Date.parse(`${asctime[2]} ${asctime[1]} ${asctime[4]} ${asctime[3]} GMT`)
  const rfc850 = RFC_850_DATE.exec(text)
  if (rfc850 === null) return Number.NaN
  const [, day, month, lastDigits, time] = rfc850
  const year = fullYear(Number(lastDigits), new Date(now).getUTCFullYear())
  return Date.parse(`${day} ${month} ${year} ${time} GMT`)
}

/** A year of two digits is in this century, unless that is more than 50 years ahead. */
function fullYear(lastDigits: number, thisYear: number): number {
  const year = thisYear - (thisYear % 100) + lastDigits
  return year > thisYear + 50 ? year - 100 : year
}
