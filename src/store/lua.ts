import { readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { preflight } from './preflight.ts'

/** `lua/` stands at the top level, two steps up from both `src/store` and `dist/store`. */
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
  /** the same with its preflight behind its first line; equal for a script that has none */
  readonly preflighted: string
  readonly numberOfKeys: number
  /** the commands it takes to run it, in capitals */
  readonly commands: readonly string[]
}

/**
 * Splices a script's one-level includes, makes its preflight, and checks its header: every `KEYS[n]` the code uses is
 * declared in the header, without gaps, and the other way round.
 *
 * @param read answers the text of a file below `lua/`
 * @throws Error naming the script when the header lies or an include includes
 */
export function parseScript(name: string, read: (path: string) => string): LuaSource {
  const source = read(`${name}.lua`)
  const lua = source.replace(/^--@include (\S+)$/gm, (_line, path: string) => {
    const included = read(path)
    if (/^--@include /m.test(included)) throw new Error(`${path}, included by ${name}.lua, includes another`)
    return included
  })
  const code = lua.replace(/^\s*--.*$/gm, '')
  const header = [...source.matchAll(/^-- KEYS\[(\d+)\](?: +\w+ +(\w+))?/gm)]
  const declared = new Set(header.map(([, n]) => Number(n)))
  const used = new Set([...code.matchAll(/KEYS\[(\d+)\]/g)].map((match) => Number(match[1])))
  for (const n of used) {
    if (!declared.has(n)) throw new Error(`${name}.lua uses KEYS[${n}], absent from its header`)
  }
  for (let n = 1; n <= declared.size; n += 1) {
    if (!used.has(n))
      throw new Error(`${name}.lua's header has ${declared.size} keys but KEYS[${n}] is not used`)
  }
  const [first = '', ...rest] = lua.split('\n')
  try {
    const channelAt = /^-- ARGV\[(\d+)\] +wake_channel\b/m.exec(source)?.[1]
    const check = preflight(code, {
      keyTypes: header.map(([, , type = '']) => type),
      channelAt: channelAt === undefined ? undefined : Number(channelAt),
    })
    return {
      ...{ name, numberOfKeys: declared.size, lua, commands: check.commands },
      preflighted: [first, check.lua, ...rest].join('\n'),
    }
  } catch (error) {
    throw new Error(`${name}.lua: ${(error as Error).message}`, { cause: error })
  }
}

export function loadScript(name: string): LuaSource {
  return parseScript(name, (path) => {
    const file = path === `${name}.lua` ? (SCRIPT_PATHS.get(name) ?? path) : path
    return readFileSync(new URL(file, LUA_FOLDER), 'utf8')
  })
}
