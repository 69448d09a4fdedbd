import { readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { type Header, parseHeader } from './header.ts'
import { preflight } from './preflight.ts'

/** `lua/` is at the top level, two steps up from both `src/store` and `dist/store`. */
const LUA_FOLDER = new URL('../../lua/', import.meta.url)

/** Path below `lua/` of every script, by its name, which is unique across the folders; `lib/` holds includes only. */
export const SCRIPT_PATHS: ReadonlyMap<string, string> = new Map(
  readdirSync(LUA_FOLDER, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.lua') && !path.startsWith('lib/'))
    .map((path) => [basename(path, '.lua'), path]),
)

export interface LuaSource {
  readonly name: string
  readonly lua: string
  /** the same with its preflight after the first line; equal for a script without one */
  readonly preflighted: string
  readonly header: Header
  /** the commands that it runs, in capitals */
  readonly commands: readonly string[]
}

/**
 * Inserts a script's includes, makes its preflight, and compares its header with its code: both name the same KEYS, and
 * the header has every ARGV that the code uses by number.
 *
 * @param read answers the text of a file below `lua/`
 * @throws Error naming the script when its header is wrong
 */
export function parseScript(name: string, read: (path: string) => string): LuaSource {
  const lua = withIncludes(read(`${name}.lua`), read, new Set())
  const code = lua.replace(/^\s*--.*$/gm, '')
  const [first = '', ...rest] = lua.split('\n')
  try {
    const header = parseHeader(lua)
    checkHeader(header, code)
    const channelAt = header.args.indexOf('wakeChannel') + 1
    const check = preflight(code, {
      keyTypes: header.keys.map(({ type }) => type),
      channelAt: channelAt === 0 ? undefined : channelAt,
    })
    const preflighted = [first, check.lua, ...rest].join('\n')
    return { name, header, lua, commands: check.commands, preflighted }
  } catch (error) {
    throw new Error(`${name}.lua: ${(error as Error).message}`, { cause: error })
  }
}

/**
 * Each file is inserted once, where it is first named: what it includes comes before it. An indented include is for the
 * function that it is in, and is not seen by what comes after.
 */
function withIncludes(text: string, read: (path: string) => string, seen: Set<string>): string {
  return text.replace(/^( *)--@include (\S+)\n/gm, (_line, indent: string, path: string) => {
    const inScope = indent === '' ? seen : new Set(seen)
    if (inScope.has(path)) return ''
    inScope.add(path)
    return `${withIncludes(read(path), read, inScope).trimEnd()}\n`
  })
}

function checkHeader(header: Header, code: string): void {
  for (const [list, count] of [
    ['KEYS', header.keys.length],
    ['ARGV', header.args.length],
  ] as const) {
    const used = new Set([...code.matchAll(new RegExp(`${list}\\[(\\d+)\\]`, 'g'))].map(([, n]) => Number(n)))
    for (const n of used) {
      if (n > count) throw new Error(`it uses ${list}[${n}] that its header does not declare`)
    }
    for (let n = 1; n <= count; n += 1) {
      if (!used.has(n)) throw new Error(`its header has ${list}[${n}], which is not used`)
    }
  }
}

export function loadScript(name: string): LuaSource {
  return parseScript(name, (path) => {
    const file = path === `${name}.lua` ? (SCRIPT_PATHS.get(name) ?? path) : path
    return readFileSync(new URL(file, LUA_FOLDER), 'utf8')
  })
}
