import { describe, expect, it } from 'vitest'
import { argumentsOf, type Signature } from '../../../src/store/arguments.ts'
import { parseHeader } from '../../../src/store/header.ts'

const HEADER = parseHeader(
  [
    ...['-- KEYS[1]  claimed  zset', '-- KEYS[2]  call  string'],
    ...['-- ARGV[1]  now_ms  integer', '-- ARGV[2]  lock_ms  integer', '-- ARGV[3..] two per message:'],
    ...['--            token', '--            id'],
  ].join('\n'),
)
const VALUES = {
  ofShard: (shard: number) => ({ claimed: `claimed ${shard}`, dead: `dead ${shard}` }),
  current: { nowMs: (shard: number) => 100 + shard },
}
interface Held {
  readonly id: string
  readonly token: string
}
const EACH = { id: ({ id }: Held) => id, token: ({ token }: Held) => token }

const build = <const Name extends string>(
  args: readonly Name[],
  each: Signature<Name, Held>['each'] = EACH,
  withGuard = false,
) => argumentsOf('s', HEADER, { args, each }, VALUES, withGuard)

describe('the arguments of a script', () => {
  it('are in the order of its header, whatever the order in which they are given', () => {
    const argsOf = build(['lockMs', 'call'])
    const items = [
      { id: 'a', token: 't' },
      { id: 'b', token: 'u' },
    ]
    const given = { lockMs: 5, call: 'c' }
    expect(argsOf(7, given, items)).toEqual(['claimed 7', 'c', 107, 5, 't', 'a', 'u', 'b'])
    expect(argsOf(8, given)).toEqual(['claimed 8', 'c', 108, 5])
    expect(argsOf(7, { ...given, lockMs: 6 })).toEqual(['claimed 7', 'c', 107, 6])
  })

  it('leave a place for a guard behind the keys', () => {
    expect(build(['lockMs', 'call'], EACH, true)(7, { lockMs: 5, call: 'c' })).toEqual([
      ...['claimed 7', 'c', '', 107, 5],
    ])
  })

  it.each([
    ['a name that the header does not have', ['call', 'lockMs', 'lockMz'], EACH, 'is given lockMz'],
    ['a name that nobody gives', ['call'], EACH, "s.lua's header names lockMs, which is not given"],
    ['a name that every call has', ['call', 'lockMs', 'nowMs'], EACH, 'is given nowMs, which all'],
    ['an item without one of its values', ['call', 'lockMs'], { id: EACH.id }, 'names token, which is not'],
    ['an item with another value', ['call', 'lockMs'], { ...EACH, why: EACH.id }, 'does not name why'],
  ])('are refused before the first call for %s', (_what, args, each, message) => {
    expect(() => build(args, each)).toThrow(message)
  })
})
