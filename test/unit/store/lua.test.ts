import { describe, expect, it } from 'vitest'
import { loadScript, parseScript, SCRIPT_PATHS } from '../../../src/store/lua.ts'

const files = (texts: Record<string, string>) => (path: string) => {
  const text = texts[path]
  if (text === undefined) throw new Error(`no ${path}`)
  return text
}

describe('a script', () => {
  it('has its includes spliced and its keys counted', () => {
    const script = parseScript(
      's',
      files({
        's.lua': '-- KEYS[1] a hash\n-- KEYS[2] b zset\n--@include lib/l.lua\nreturn {KEYS[1], KEYS[2]}',
        'lib/l.lua': 'local x = 1',
      }),
    )
    expect(script.numberOfKeys).toBe(2)
    expect(script.lua).toContain('\nlocal x = 1\nreturn')
    expect(script.commands).toEqual(['HLEN', 'ZCARD'])
  })

  it.each([
    [
      'uses a key its header does not name',
      '-- KEYS[1] a hash\nreturn KEYS[2]',
      's.lua uses KEYS[2], absent from its header',
    ],
    [
      'names a key it does not use',
      '-- KEYS[1] a hash\n-- KEYS[2] b zset\nreturn KEYS[1]',
      'KEYS[2] is not used',
    ],
    [
      'names its keys with a gap',
      '-- KEYS[1] a hash\n-- KEYS[3] b zset\nreturn KEYS[1] .. KEYS[3]',
      'KEYS[2] is not used',
    ],
    ['has a key of no known type', '-- KEYS[1] a thing\nreturn KEYS[1]', 'but "thing"'],
    [
      'makes a call of no known form',
      'return redis.call("SORT", "a")',
      'the shortest call of SORT is not known',
    ],
    [
      'includes what includes',
      '--@include lib/l.lua\nreturn 1',
      'lib/l.lua, included by s.lua, includes another',
    ],
  ])('that %s is refused', (_what, text, message) => {
    expect(() => parseScript('s', files({ 's.lua': text, 'lib/l.lua': '--@include lib/m.lua\n' }))).toThrow(
      message,
    )
  })
})

describe('every script in lua/', () => {
  it.each([...SCRIPT_PATHS.keys()])(
    '%s loads, opens as a Redis script and names no key of its own',
    (name) => {
      const { lua } = loadScript(name)
      expect(lua).toMatch(/^#!lua( flags=(allow-oom|no-writes))?\n/)
      expect(lua.replace(/^\s*--.*$/gm, '')).not.toMatch(/carillon|["']\{[\w-]+:/)
    },
  )
})
