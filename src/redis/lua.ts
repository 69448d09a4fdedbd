import { readFileSync } from 'node:fs'

/** `lua/` stands at the top level, two steps up from both `src/redis` and `dist/redis`. */
const LUA_FOLDER = new URL('../../lua/', import.meta.url)

export interface LuaSource {
  readonly name: string
  readonly lua: string
  readonly numberOfKeys: number
}

/**
 * Splices a script's one-level includes and checks its header: every `KEYS[n]` the code uses is declared
 * in the header, without gaps, and the other way round.
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
  const declared = new Set([...source.matchAll(/^-- KEYS\[(\d+)\]/gm)].map((match) => Number(match[1])))
  const used = new Set([...code.matchAll(/KEYS\[(\d+)\]/g)].map((match) => Number(match[1])))
  for (const n of used) {
    if (!declared.has(n)) throw new Error(`${name}.lua uses KEYS[${n}], absent from its header`)
  }
  for (let n = 1; n <= declared.size; n += 1) {
    if (!used.has(n))
      throw new Error(`${name}.lua's header has ${declared.size} keys but KEYS[${n}] is not used`)
  }
  return { name, lua, numberOfKeys: declared.size }
}

export function loadScript(name: string): LuaSource {
  return parseScript(name, (path) => readFileSync(new URL(path, LUA_FOLDER), 'utf8'))
}
