import { isDouble } from '../../domain/json/decimal.ts'
import { endOfNumber, endOfString, skipSpace } from '../../domain/json/scan.ts'
import type { FieldError } from '../validation/validation.ts'

const ROUNDED = 'must be a number that a double represents exactly'

/**
 * Finds what a JSON text loses when it is parsed: members whose name occurs twice in an object, and numbers that a
 * double cannot represent.
 *
 * @param text valid JSON, nested no deeper than MAX_DEPTH
 * @param own if others are ignored, the names of the relevant fields, and the error text for a number there
 * @returns the first problem, by null; and the first within each item of a `messages` array, with its path in there, by
 *   the item's index
 */
export function firstProblems(
  text: string,
  own?: ReadonlyMap<string, string>,
): Map<number | null, FieldError> {
  const found = new Map<number | null, FieldError>()
  const path: (string | number)[] = []
  let at = 0

  function note(message: string): void {
    const [name = '', index] = path
    const told = own === undefined ? message : own.get(String(name))
    if (told === undefined || (own !== undefined && path.length > 1)) return
    const item = name === 'messages' && typeof index === 'number' ? index : null
    if (found.has(item)) return
    const inside = item === null ? path : path.slice(2)
    found.set(item, {
      path: inside.map((part) => `/${asPointer(part)}`).join(''),
      message: message === ROUNDED ? told : message,
    })
  }

  function value(): void {
    at = skipSpace(text, at)
    const first = text[at]
    if (first === '{') members()
    else if (first === '[') items()
    else if (first === '"') at = endOfString(text, at + 1)
    else if (first === 't' || first === 'n') at += 4
    else if (first === 'f') at += 5
    else {
      const start = at
      at = endOfNumber(text, at)
      if (!isDouble(text.slice(start, at))) note(ROUNDED)
    }
    at = skipSpace(text, at)
  }

  function items(): void {
    at = skipSpace(text, at + 1)
    for (let index = 0; text[at] !== ']'; index += 1) {
      if (text[at] === ',') at += 1
      path.push(index)
      value()
      path.pop()
    }
    at += 1
  }

  function members(): void {
    const names = new Set<string>()
    at = skipSpace(text, at + 1)
    while (text[at] !== '}') {
      if (text[at] === ',') at = skipSpace(text, at + 1)
      const start = at
      at = endOfString(text, at + 1)
      const name = JSON.parse(text.slice(start, at)) as string
      at = skipSpace(text, at) + 1 // the colon
      path.push(name)
      if (names.has(name)) note('must not be given twice')
      names.add(name)
      value()
      path.pop()
    }
    at += 1
  }

  value()
  return found
}

/** RFC 6901 */
const asPointer = (part: string | number): string => String(part).replaceAll('~', '~0').replaceAll('/', '~1')
