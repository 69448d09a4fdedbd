import { describe, expect, it } from 'vitest'
import { parseHeader } from '../../../src/store/header.ts'
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
    expect(script.header.keys).toEqual([
      { name: 'a', type: 'hash' },
      { name: 'b', type: 'zset' },
    ])
    expect(script.lua).toContain('\nlocal x = 1\nreturn')
    expect(script.commands).toEqual(['HLEN', 'ZCARD'])
  })

  it('has what an include includes before it, and each include once', () => {
    const { lua } = parseScript(
      's',
      files({
        's.lua': '--@include lib/l.lua\n--@include lib/m.lua\nreturn x',
        'lib/l.lua': '--@include lib/m.lua\nlocal y = x\n',
        'lib/m.lua': 'local x = 1\n',
      }),
    )
    expect(lua).toBe('local x = 1\nlocal y = x\nreturn x')
  })

  it('has an indented include in its function alone', () => {
    const { lua } = parseScript(
      's',
      files({
        's.lua': '--@include lib/l.lua\n--@include lib/m.lua\nreturn x',
        'lib/l.lua': 'local function f()\n  --@include lib/m.lua\n  return x\nend\n',
        'lib/m.lua': 'local x = 1\n',
      }),
    )
    expect(lua).toBe('local function f()\nlocal x = 1\n  return x\nend\nlocal x = 1\nreturn x')
  })

  it('has the keys and arguments of its includes in its header, before its own', () => {
    const { header } = parseScript(
      's',
      files({
        's.lua': '-- KEYS[2] b zset\n-- ARGV[2] id\n--@include lib/l.lua\nreturn KEYS[2] .. ARGV[2]',
        'lib/l.lua': '-- KEYS[1] a hash\n-- ARGV[1] now\nlocal x = KEYS[1] .. ARGV[1]',
      }),
    )
    expect(header).toEqual({
      keys: [
        { name: 'a', type: 'hash' },
        { name: 'b', type: 'zset' },
      ],
      args: ['now', 'id'],
      each: [],
    })
  })

  it.each([
    [
      'uses a key its header does not name',
      '-- KEYS[1] a hash\nreturn KEYS[2]',
      's.lua: it uses KEYS[2] that its header does not declare',
    ],
    [
      'names a key it does not use',
      '-- KEYS[1] a hash\n-- KEYS[2] b zset\nreturn KEYS[1]',
      'its header has KEYS[2], which is not used',
    ],
    [
      'names its keys with a gap',
      '-- KEYS[1] a hash\n-- KEYS[3] b zset\nreturn KEYS[1] .. KEYS[3]',
      'its header has KEYS[3] out of order',
    ],
    [
      'uses an argument its header does not name',
      '-- ARGV[1] a\nreturn ARGV[1] .. ARGV[2]',
      's.lua: it uses ARGV[2] that its header does not declare',
    ],
    [
      'names an argument it does not use',
      '-- ARGV[1] a\n-- ARGV[2] b\nreturn ARGV[1]',
      'its header has ARGV[2], which is not used',
    ],
    [
      'names its items with a gap',
      '-- ARGV[1] a\n-- ARGV[3..] b\nreturn ARGV[1]',
      'its header has ARGV[3..] out of order',
    ],
    ['has a key of no known type', '-- KEYS[1] a thing\nreturn KEYS[1]', 'unknown type of a key: "thing"'],
    [
      'makes a call of no known form',
      'return redis.call("SORT", "a")',
      'the shortest call of SORT is unknown',
    ],
  ])('is refused when it %s', (_what, text, message) => {
    expect(() => parseScript('s', files({ 's.lua': text }))).toThrow(message)
  })
})

describe('a header', () => {
  it('is the order in which a script takes its keys, its arguments and the values of each item', () => {
    const header = parseHeader(
      [
        ...['-- s: do something.', '--', '-- KEYS[1]  dead_letters  zset  message id -> time'],
        ...[
          '-- ARGV[1]  lock_ms  integer  how long',
          '--                    in all',
          '-- ARGV[2..] two per message:',
        ],
        ...[
          '--            id',
          '--            late_ms  how late,',
          '--                     "" for now',
          '--',
        ],
        ...['-- Returns  {word}: for each', '--            what became of it', 'return {}'],
      ].join('\n'),
    )
    expect(header).toEqual({
      keys: [{ name: 'deadLetters', type: 'zset' }],
      args: ['lockMs'],
      each: ['id', 'lateMs'],
    })
  })

  it('names an item of one value in its own line', () => {
    expect(parseHeader('-- ARGV[1..] full_lane  string  lane of a host').each).toEqual(['fullLane'])
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
