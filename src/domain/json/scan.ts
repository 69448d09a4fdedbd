/** How deep arrays and objects may be nested, in a payload and in the rest of a request alike. */
export const MAX_DEPTH = 500

const SPACE = 0x20
const QUOTE = 0x22
const PLUS = 0x2b
const COMMA = 0x2c
const MINUS = 0x2d
const POINT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const COLON = 0x3a
const OPEN_BRACKET = 0x5b
const BACKSLASH = 0x5c
const LOWER_U = 0x75
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
/** An upper-case letter becomes its lower-case one. */
const LOWER_CASE = 0x20
const LOWER_E = 0x65

/** Text that is not JSON. The caller knows whose fault that is. */
export class JsonError extends Error {
  override readonly name = 'JsonError'
}

/** One JSON value within a text. */
export interface Scanned {
  /** its text as it is there, but for white space outside strings, which is left out */
  readonly text: string
  /** the index behind it */
  readonly end: number
  /** how deep its arrays and objects are nested; 0 for any other value */
  readonly depth: number
}

/** The closing bracket of each array and object around the current position, outermost first. It never shrinks. */
let closers = new Uint8Array(MAX_DEPTH)

/**
 * Skips one JSON value and checks its syntax without building it, in one pass and without recursion.
 *
 * @param from where it begins, or white space before it
 * @throws JsonError where there is no valid value
 */
export function scanValue(source: string, from: number): Scanned {
  let at = skipSpace(source, from)
  let depth = 0
  let deepest = 0
  // The text before `copied`, without white space; most texts have none, and then nothing is copied.
  let kept = ''
  let copied = at

  for (;;) {
    const first = source.charCodeAt(at)
    let ended = true
    if (first === QUOTE) {
      at = endOfString(source, at + 1)
    } else if (first === OPEN_BRACE || first === OPEN_BRACKET) {
      const closer = first + 2
      if (depth === closers.length) closers = grown(closers)
      closers[depth] = closer
      depth += 1
      if (depth > deepest) deepest = depth
      at += 1
      if (source.charCodeAt(at) <= SPACE) {
        kept += source.slice(copied, at)
        at = copied = skipSpace(source, at)
      }
      if (source.charCodeAt(at) !== closer) ended = false
    } else {
      at = endOfScalar(source, at, first)
    }

    // After a value: leave all that ends here, and go to the next.
    while (ended) {
      if (depth === 0) {
        const rest = source.slice(copied, at)
        return { text: kept === '' ? rest : kept + rest, end: at, depth: deepest }
      }
      if (source.charCodeAt(at) <= SPACE) {
        kept += source.slice(copied, at)
        at = copied = skipSpace(source, at)
      }
      const next = source.charCodeAt(at)
      if (next === closers[depth - 1]) depth -= 1
      else if (next === COMMA) ended = false
      else throw unexpected(at)
      at += 1
    }

    if (source.charCodeAt(at) <= SPACE) {
      kept += source.slice(copied, at)
      at = copied = skipSpace(source, at)
    }
    if (closers[depth - 1] === CLOSE_BRACE) {
      if (source.charCodeAt(at) !== QUOTE) throw unexpected(at)
      at = endOfString(source, at + 1)
      if (source.charCodeAt(at) <= SPACE) {
        kept += source.slice(copied, at)
        at = copied = skipSpace(source, at)
      }
      if (source.charCodeAt(at) !== COLON) throw unexpected(at)
      at += 1
      if (source.charCodeAt(at) <= SPACE) {
        kept += source.slice(copied, at)
        at = copied = skipSpace(source, at)
      }
    }
  }
}

/** Whether all of a text is one JSON value. */
export function isJson(text: string): boolean {
  try {
    return scanValue(text, 0).end === text.length
  } catch (error) {
    if (error instanceof JsonError) return false
    throw error
  }
}

const grown = (smaller: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => {
  const larger = new Uint8Array(smaller.length * 2)
  larger.set(smaller)
  return larger
}

/** @returns the index of the first character from `at` on that is not white space, as JSON has it */
export function skipSpace(source: string, at: number): number {
  let next = at
  for (;;) {
    const code = source.charCodeAt(next)
    if (code !== SPACE && code !== 0x0a && code !== 0x0d && code !== 0x09) return next
    next += 1
  }
}

/** This many characters are checked one by one: most keys and many strings are no longer, and a search costs more. */
const SHORT = 12
/** A backslash, or a control character, which JSON allows only as an escape. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids these; without them it takes twice as long
const SPECIAL = /[\\\u0000-\u001f]/
const PLAIN = /[ !#-[\]-\uffff]*/y

/**
 * @param at after the opening quotation mark
 * @returns the index after the closing one
 * @throws JsonError for a string that does not end, or that has a character which must be escaped
 */
export function endOfString(source: string, at: number): number {
  let next = at
  while (next < at + SHORT) {
    const code = source.charCodeAt(next)
    if (code === QUOTE) return next + 1
    if (code === BACKSLASH) return endOfEscaped(source, next)
    // Also false for the NaN that is behind the end.
    if (code >= SPACE) next += 1
    else throw unexpected(next)
  }
  const quote = source.indexOf('"', next)
  if (quote === -1) throw unexpected(source.length)
  return SPECIAL.test(source.slice(next, quote)) ? endOfEscaped(source, next) : quote + 1
}

/** The same for a string with escapes, from anywhere within it on. */
function endOfEscaped(source: string, at: number): number {
  let next = at
  for (;;) {
    PLAIN.lastIndex = next
    PLAIN.test(source)
    next = PLAIN.lastIndex
    const code = source.charCodeAt(next)
    if (code === QUOTE) return next + 1
    if (code !== BACKSLASH) throw unexpected(next)
    next = endOfEscape(source, next + 1)
  }
}

const SIMPLE_ESCAPES = /["\\/bfnrt]/y
const UNICODE_ESCAPE = /u[0-9A-Fa-f]{4}/y

/** @param at behind the backslash */
function endOfEscape(source: string, at: number): number {
  const form = source.charCodeAt(at) === LOWER_U ? UNICODE_ESCAPE : SIMPLE_ESCAPES
  form.lastIndex = at
  if (!form.test(source)) throw unexpected(at)
  return form.lastIndex
}

function endOfScalar(source: string, at: number, first: number): number {
  if (first === MINUS || (first >= ZERO && first <= NINE)) return endOfNumber(source, at)
  for (const word of WORDS) if (source.startsWith(word, at)) return at + word.length
  throw unexpected(at)
}
const WORDS = ['true', 'false', 'null'] as const

/** @param at of its first character, a minus sign or a digit */
export function endOfNumber(source: string, at: number): number {
  let next = source.charCodeAt(at) === MINUS ? at + 1 : at
  const zero = source.charCodeAt(next) === ZERO
  const whole = endOfDigits(source, next)
  if (zero && whole > next + 1) throw unexpected(next + 1)
  next = whole
  if (source.charCodeAt(next) === POINT) next = endOfDigits(source, next + 1)
  if ((source.charCodeAt(next) | LOWER_CASE) === LOWER_E) {
    const sign = source.charCodeAt(next + 1)
    next = endOfDigits(source, sign === PLUS || sign === MINUS ? next + 2 : next + 1)
  }
  return next
}

/** @throws JsonError where there is none */
function endOfDigits(source: string, at: number): number {
  let next = at
  for (;;) {
    const code = source.charCodeAt(next)
    if (!(code >= ZERO && code <= NINE)) break
    next += 1
  }
  if (next === at) throw unexpected(at)
  return next
}

const unexpected = (at: number) => new JsonError(`no valid JSON at character ${at + 1}`)
