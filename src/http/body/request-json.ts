import { endOfString, JsonError, MAX_DEPTH, scanValue, skipSpace } from '../../domain/json/scan.ts'
import { HttpError } from '../errors/http-error.ts'
import { type FieldError, InvalidRequestError } from '../validation/validation.ts'
import { firstProblems } from './json-problems.ts'

const QUOTE = 0x22
const POINT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const COLON = 0x3a
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const UPPER_E = 0x45
const LOWER_E = 0x65
const BYTE_ORDER_MARK = 0xfeff

/** In place of a payload that is nested deeper than MAX_DEPTH. */
export const TOO_DEEP = Symbol('a payload that is nested too deeply')
export const DEEP = `nested too deeply: at most ${MAX_DEPTH} levels of arrays and objects are allowed`
/** A payload as it is in a parsed request: its own text, without white space outside strings. */
export type PayloadText = string | typeof TOO_DEEP

/** A message of a batch that is known to be invalid before its schema is checked. */
export class InvalidItem {
  readonly value: unknown
  readonly error: InvalidRequestError

  constructor(value: unknown, error: FieldError) {
    this.value = value
    this.error = new InvalidRequestError([error])
  }
}

/** How many arrays and objects there are around a payload. */
const IN_MESSAGE = 1
const IN_BATCH = 3
const NOWHERE = 0

/**
 * Parses the JSON of a request without a payload.
 *
 * @param own if others are ignored, the names of the relevant fields, and the error text for a number there that would
 *   be rounded
 * @throws HttpError for text that is not JSON; InvalidRequestError for a field that is given twice, a number that a
 *   double cannot represent, and more than MAX_DEPTH levels
 */
export function parseFields(text: string, own?: ReadonlyMap<string, string>): unknown {
  const { value, problems } = read(text, NOWHERE, own)
  for (const problem of problems.values()) throw new InvalidRequestError([problem])
  return value
}

/** The same for a message, whose `payload` is left as the text it is. @see PayloadText */
export function parseMessage(text: string): unknown {
  const { value, payloads, problems } = read(text, IN_MESSAGE)
  for (const problem of problems.values()) throw new InvalidRequestError([problem])
  restorePayload(value, payloads)
  return value
}

/** The same for a batch. What is wrong with one of its messages makes an InvalidItem of that one. */
export function parseBatch(text: string): unknown {
  const { value, payloads, problems } = read(text, IN_BATCH)
  const messages = (value as { messages?: unknown } | null)?.messages
  if (!Array.isArray(messages)) {
    for (const problem of problems.values()) throw new InvalidRequestError([problem])
    return value
  }
  for (const each of messages) restorePayload(each, payloads)
  for (const [index, problem] of problems) {
    if (index === null) throw new InvalidRequestError([problem])
    messages[index] = new InvalidItem(messages[index], problem)
  }
  return value
}

interface Read {
  /** the request, with the place of its text in `payloads` for each payload */
  readonly value: unknown
  readonly payloads: readonly PayloadText[]
  /** the first that is wrong, and of a batch with each of its messages, by its index */
  readonly problems: ReadonlyMap<number | null, FieldError>
}

const NO_PROBLEMS: Read['problems'] = new Map()

/**
 * Cuts the payloads out of a text by scanning it, and lets the runtime parse the small rest.
 *
 * The runtime keeps the last of two members of one name, and rounds numbers. So the scan counts members and checks
 * numbers, and only a suspicious text is searched for the problem.
 */
function read(text: string, payloadDepth: number, own?: ReadonlyMap<string, string>): Read {
  if (text === '') throw new HttpError({ status: 400, detail: 'body: is empty; it must be a JSON object' })
  try {
    const start = text.charCodeAt(0) === BYTE_ORDER_MARK ? 1 : 0
    const { rest, payloads, members, mayBeRounded } = takePayloads(text, start, payloadDepth)
    const value: unknown = JSON.parse(rest)
    const isSound = !mayBeRounded && members === countMembers(value)
    return { value, payloads, problems: isSound ? NO_PROBLEMS : firstProblems(rest, own) }
  } catch (error) {
    if (error instanceof JsonError || error instanceof SyntaxError) {
      throw new HttpError({ status: 400, detail: 'body: is not valid JSON' }, { cause: error })
    }
    throw error
  }
}

/**
 * Looks no closer than it must at what is not a payload, as that is parsed afterwards.
 *
 * @returns the text with a string in place of each payload, which tells its place in `payloads`; how many members of
 *   objects it has; and whether one of its numbers may be none that a double can hold
 */
function takePayloads(text: string, start: number, payloadDepth: number) {
  const payloads: PayloadText[] = []
  let rest = ''
  let copied = start
  let depth = 0
  let members = 0
  let mayBeRounded = false
  for (let at = start; at < text.length; ) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) {
      const name = at
      at = endOfString(text, at + 1)
      if (depth !== payloadDepth || !isPayload(text, name, at)) continue
      const colon = skipSpace(text, at)
      if (text.charCodeAt(colon) !== COLON) continue
      members += 1
      const payload = scanValue(text, colon + 1)
      // The placeholder is a complete token.
      rest += `${text.slice(copied, colon + 1)}"${payloads.length}"`
      payloads.push(payload.depth > MAX_DEPTH ? TOO_DEEP : payload.text)
      at = copied = payload.end
    } else if (code === COLON) {
      members += 1
      at += 1
    } else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      depth += 1
      if (depth > MAX_DEPTH) throw new InvalidRequestError([{ path: '', message: DEEP }])
      at += 1
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      depth -= 1
      at += 1
    } else if (isDigit(code)) {
      const end = endOfDigits(text, at + 1)
      const next = text.charCodeAt(end)
      if (end - at > EXACT_DIGITS || next === LOWER_E || next === UPPER_E) mayBeRounded = true
      at = end
    } else at += 1
  }
  return { rest: rest + text.slice(copied), payloads, members, mayBeRounded }
}

/** A number of so few digits is a double's. */
const EXACT_DIGITS = 15
const isDigit = (code: number) => code >= ZERO && code <= NINE

function endOfDigits(text: string, at: number): number {
  let end = at
  for (;;) {
    const code = text.charCodeAt(end)
    if (!isDigit(code) && code !== POINT) return end
    end += 1
  }
}

const NAME = '"payload"'
const LONGEST_ESCAPED_NAME = '"'.length * 2 + 'payload'.length * '\\u0070'.length

/** Whether the string from one index to another is "payload", however it is written. */
function isPayload(text: string, from: number, to: number): boolean {
  const length = to - from
  if (length === NAME.length) return text.startsWith(NAME, from)
  if (length < NAME.length || length > LONGEST_ESCAPED_NAME) return false
  const string = text.slice(from, to)
  return string.includes('\\') && JSON.parse(string) === 'payload'
}

/** Of all objects in a parsed value, which is nested no deeper than MAX_DEPTH. */
function countMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  let count = 0
  if (Array.isArray(value)) {
    for (const each of value) if (typeof each === 'object') count += countMembers(each)
    return count
  }
  // Parsed from JSON: every key is its own.
  for (const key in value) {
    count += 1
    const member = (value as Record<string, unknown>)[key]
    if (typeof member === 'object') count += countMembers(member)
  }
  return count
}

/** Puts its own payload into a parsed message. */
function restorePayload(message: unknown, payloads: readonly PayloadText[]): void {
  if (typeof message !== 'object' || message === null || !Object.hasOwn(message, 'payload')) return
  const holder = message as { payload: unknown }
  holder.payload = payloads[Number(holder.payload)]
}
