import { canonicalNumber } from './decimal.ts'
import { endOfNumber, endOfString } from './scan.ts'

/**
 * The canonical text of all JSON texts with the same content: keys sorted, strings with the fewest escapes, numbers by
 * their exact decimal value. Members of one name stay in their order, and all of them count.
 *
 * If every number is a double's and no name occurs twice, it equals safe-stable-stringify of the parsed value.
 *
 * @param source valid JSON without white space outside strings, and nested no deeper than MAX_DEPTH
 */
export function canonicalOf(source: string): string {
  let at = 0

  function value(): string {
    const first = source[at]
    if (first === '{') return object()
    if (first === '[') return array()
    const start = at
    if (first === '"') return string().text
    if (first === 't' || first === 'n') at += 4
    else if (first === 'f') at += 5
    else {
      at = endOfNumber(source, at)
      return canonicalNumber(source.slice(start, at))
    }
    return source.slice(start, at)
  }

  function string(): { content: string; text: string } {
    const start = at
    at = endOfString(source, at + 1)
    const text = source.slice(start, at)
    if (!text.includes('\\')) return { content: text.slice(1, -1), text }
    const content = JSON.parse(text) as string
    return { content, text: JSON.stringify(content) }
  }

  function array(): string {
    at += 1
    let items = ''
    while (source[at] !== ']') {
      if (source[at] === ',') at += 1
      items += items === '' ? value() : `,${value()}`
    }
    at += 1
    return `[${items}]`
  }

  function object(): string {
    at += 1
    const members: { readonly name: string; readonly text: string }[] = []
    while (source[at] !== '}') {
      if (source[at] === ',') at += 1
      const { content: name, text } = string()
      at += 1 // the colon
      members.push({ name, text: `${text}:${value()}` })
    }
    at += 1
    members.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
    return `{${members.map(({ text }) => text).join(',')}}`
  }

  return value()
}
