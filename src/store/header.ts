/** What a script is called with, by name and in order. Names are in camelCase; Lua has them in snake_case. */
export interface Header {
  readonly keys: readonly { readonly name: string; readonly type: string }[]
  /** the arguments that every call has */
  readonly args: readonly string[]
  /** what follows them, once per item that the call is about; empty for a script that takes no items */
  readonly each: readonly string[]
}

const NUMBERED = /^-- (KEYS|ARGV)\[(\d+)\] +(\w+)(?: +(\w+))?/gm
const ITEMS = /^-- ARGV\[(\d+)\.\.\] +(\w+)(.*)$/m
const BELOW = /^--( {4,})(\S+)/

const camelCase = (name: string): string =>
  name.replace(/_(\w)/g, (_underscore, letter: string) => letter.toUpperCase())

/**
 * Reads a script's header, parts of which may be in what it includes:
 *
 * ```
 * -- KEYS[1]  claimed  zset     a key and its type
 * -- ARGV[1]  lock_ms  integer  an argument
 * -- ARGV[2..] id      string   an item of one value; or of several, one of these per line:
 * -- ARGV[2..] two per message:
 * --            id
 * --            token  what it is; continuation lines are indented further
 * ```
 *
 * @throws Error when numbers have a gap
 */
export function parseHeader(source: string): Header {
  const all = [...source.matchAll(NUMBERED)]
  const inOrder = (list: string) =>
    all
      .filter(([, of]) => of === list)
      .sort(([, , a], [, , b]) => Number(a) - Number(b))
      .map(([, , n, name = '', type = ''], i) => {
        if (Number(n) !== i + 1) throw new Error(`its header has ${list}[${n}] out of order`)
        return { name: camelCase(name), type }
      })
  const [keys, args] = [inOrder('KEYS'), inOrder('ARGV')]
  const items = ITEMS.exec(source)
  if (items !== null && Number(items[1]) !== args.length + 1)
    throw new Error(`its header has ARGV[${items[1]}..] out of order`)
  return { keys, args: args.map(({ name }) => name), each: items === null ? [] : itemFields(source, items) }
}

function itemFields(source: string, items: RegExpExecArray): string[] {
  const [line, , first = '', rest = ''] = items
  if (!rest.endsWith(':')) return [camelCase(first)]
  const fields: string[] = []
  let indent: string | undefined
  for (const below of source.slice(items.index + line.length + 1).split('\n')) {
    const [match, spaces, name = ''] = BELOW.exec(below) ?? []
    if (match === undefined) break
    indent ??= spaces
    if (spaces === indent) fields.push(camelCase(name))
  }
  return fields
}
