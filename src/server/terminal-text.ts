/**
 * Characters that a terminal interprets or that break a line: control characters (C0, C1 and DEL), Unicode line breaks,
 * and those that change the direction of text.
 */
const OBEYED = /[\p{Cc}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }
const escapeOf = (char: string): string =>
  SHORT[char] ?? `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`

/** Text from elsewhere, as a terminal may be given it: on one line, with escapes as in JSON for what it would obey. */
const forTerminal = (text: string): string => text.replace(OBEYED, escapeOf)

/** The same for all names and texts of a value, but for the line breaks of an error's stack, which are ours. */
export function allForTerminal(value: unknown, name = ''): unknown {
  if (typeof value === 'string') {
    return name === 'stack' ? value.split('\n').map(forTerminal).join('\n') : forTerminal(value)
  }
  if (Array.isArray(value)) return value.map((one) => allForTerminal(one))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [forTerminal(key), allForTerminal(one, key)]),
  )
}
