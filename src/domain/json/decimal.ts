const NUMBER = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/
/** Any number of so few digits is a double's own shortest text, but for the zeros at its ends. */
const EXACT_DIGITS = 15
const SHORT_WHOLE = /^(?:0|-?[1-9]\d{0,14})$/

/**
 * The canonical text of a number's exact decimal value: what JavaScript prints for the double of that value if there is
 * one, else its digits and an exponent.
 *
 * @param text a JSON number of any length
 */
export function canonicalNumber(text: string): string {
  if (SHORT_WHOLE.test(text)) return text
  const exact = decimalOf(text)
  const double = String(Number(text))
  return double !== 'Infinity' && double !== '-Infinity' && decimalOf(double) === exact ? double : exact
}

/** Whether a number's decimal value is that which JavaScript shows of it once it is a double. */
export function isDouble(text: string): boolean {
  if (SHORT_WHOLE.test(text)) return true
  const double = Number(text)
  return Number.isFinite(double) && decimalOf(String(double)) === decimalOf(text)
}

/** `<digits>e<exponent>` without zeros at either end of the digits; "0" for any zero. In linear time. */
function decimalOf(text: string): string {
  const [, whole = '', fraction = '', exponent = '0'] = NUMBER.exec(text) ?? []
  const digits = whole + fraction
  const first = countOf('0', digits, 0, 1)
  if (first === digits.length) return '0'
  const zeros = countOf('0', digits, digits.length - 1, -1)
  const sign = text.startsWith('-') ? '-' : ''
  return `${sign}${digits.slice(first, digits.length - zeros)}e${sum(exponent, zeros - fraction.length)}`
}

/** How many of a character there are in a row, from an index on. */
function countOf(character: string, text: string, from: number, step: 1 | -1): number {
  let at = from
  while (text[at] === character) at += step
  return Math.abs(at - from)
}

/**
 * Adds to a whole number of any length.
 *
 * @param text digits, with a sign or not
 * @param change smaller than 10^15 either way
 */
function sum(text: string, change: number): string {
  const isNegative = text.startsWith('-')
  const unsigned = text.replace(/^[+-]/, '')
  const digits = unsigned.slice(countOf('0', unsigned, 0, 1))
  if (digits.length <= EXACT_DIGITS) return String((isNegative ? -1 : 1) * Number(digits) + change)
  // It is so large that its sign stays: its last digits change, and what they carry or borrow is one.
  const head = digits.slice(0, -EXACT_DIGITS)
  const limit = 10 ** EXACT_DIGITS
  const tail = Number(digits.slice(-EXACT_DIGITS)) + (isNegative ? -change : change)
  const carry = Math.floor(tail / limit)
  const changed = carry === 0 ? head : next(head, carry > 0 ? 1 : -1)
  const all = changed + String(tail - carry * limit).padStart(EXACT_DIGITS, '0')
  return (isNegative ? '-' : '') + all.slice(countOf('0', all, 0, 1))
}

/** The whole number behind or before one that is positive. */
function next(digits: string, step: 1 | -1): string {
  const [turning, turned] = step === 1 ? ['9', '0'] : ['0', '9']
  const count = countOf(turning, digits, digits.length - 1, -1)
  const kept = digits.slice(0, digits.length - count)
  const last = Number(kept.slice(-1)) + step
  return kept.slice(0, -1) + last + turned.repeat(count)
}
