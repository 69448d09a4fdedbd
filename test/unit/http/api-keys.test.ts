import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { findApiKey, makeApiKey, parseApiKeys } from '../../../src/http/plugins/api-keys.ts'

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const A = sha256('key a')
const B = sha256('key b')

describe('API_KEYS', () => {
  it('holds names, hashes and scopes', () => {
    expect(parseApiKeys(`ci.1_x-y:${A}:read+write, ops:${B.toUpperCase()}:read`)).toEqual([
      { name: 'ci.1_x-y', sha256: Buffer.from(A, 'hex'), scopes: ['read', 'write'] },
      { name: 'ops', sha256: Buffer.from(B, 'hex'), scopes: ['read'] },
    ])
  })

  it('holds none when empty', () => {
    expect(parseApiKeys('')).toEqual([])
  })

  it('takes scopes in either order', () => {
    expect(parseApiKeys(`ci:${A}:write+read`)[0]?.scopes).toEqual(['write', 'read'])
  })

  it('is split at the first two colons, as a queue may have some in its name', () => {
    const [key] = parseApiKeys(`ci:${A}:pull:eu:orders+read+pull+pull:a.b_c-d`)
    expect(key?.scopes).toEqual(['pull:eu:orders', 'read', 'pull', 'pull:a.b_c-d'])
  })

  it.each([
    ['an empty entry', `ci:${A}:read,`, 'entry 2 has no name that is allowed'],
    ['a name with a space', `c i:${A}:read`, 'entry 1 has no name that is allowed'],
    ['a name of 65 characters', `${'n'.repeat(65)}:${A}:read`, 'entry 1 has no name that is allowed'],
    ['a key in place of its hash', 'ci:carillon_secret:read', 'entry 1 has no SHA-256 of 64 hex digits'],
    ['a hash that is cut off', `ci:${A.slice(1)}:read`, 'entry 1 has no SHA-256 of 64 hex digits'],
    ['parts in the wrong order', `${A}:ci:read`, 'entry 1 has no SHA-256 of 64 hex digits'],
    ['no scopes', `ci:${A}`, 'entry 1 has other scopes than read, browse, write, pull and pull:<queue>'],
    ['empty scopes', `ci:${A}:`, 'entry 1 has other scopes than read, browse, write, pull and pull:<queue>'],
    [
      'an unknown scope',
      `ci:${A}:read+admin`,
      'entry 1 has other scopes than read, browse, write, pull and pull:<queue>',
    ],
    ['a scope twice', `ci:${A}:read+read`, 'entry 1 has a scope twice'],
    ['a queue twice', `ci:${A}:pull:a+pull:a`, 'entry 1 has a scope twice'],
    ['no queue', `ci:${A}:pull:`, 'entry 1 has other scopes than read, browse, write, pull and pull:<queue>'],
    [
      'the queue ..',
      `ci:${A}:pull:..`,
      'entry 1 has other scopes than read, browse, write, pull and pull:<queue>',
    ],
    [
      'a queue no message can name',
      `ci:${A}:pull:a b`,
      'entry 1 has other scopes than read, browse, write, pull and pull:<queue>',
    ],
    [
      'a scope of another queue',
      `ci:${A}:write:a`,
      'entry 1 has other scopes than read, browse, write, pull and pull:<queue>',
    ],
    [
      'a plus too many',
      `ci:${A}:read+`,
      'entry 1 has other scopes than read, browse, write, pull and pull:<queue>',
    ],
    [
      'a fourth part',
      `ci:${A}:read:${B}`,
      'entry 1 has other scopes than read, browse, write, pull and pull:<queue>',
    ],
    ['a name twice', `ci:${A}:read,ci:${B}:write`, 'entries 1 and 2 have the same name'],
    ['a key twice', `x:${B}:read,a:${A}:read,b:${A}:write`, 'entries 2 and 3 are the same key'],
  ])('is refused with %s, naming the position and none of the content', (_what, text, message) => {
    expect(() => parseApiKeys(text)).toThrow(new Error(message))
  })
})

describe('a presented key', () => {
  const keys = parseApiKeys(`a:${A}:read,b:${B}:write`)

  it.each([
    ['key a', 'a'],
    ['key b', 'b'],
  ])('%s is found wherever it stands', (presented, name) => {
    expect(findApiKey(keys, presented)?.name).toBe(name)
  })

  it.each(['', 'key', 'key A', 'key a ', A, `a:${A}:read`])('%j is not one of them', (presented) => {
    expect(findApiKey(keys, presented)).toBeUndefined()
  })

  it('is another one if a single bit of its hash differs', () => {
    for (let byte = 0; byte < 32; byte++) {
      const sha256 = Buffer.from(A, 'hex')
      sha256.writeUInt8(sha256.readUInt8(byte) ^ 1, byte)
      expect(findApiKey([{ name: 'a', sha256, scopes: ['read'] }], 'key a')).toBeUndefined()
    }
  })

  it('is told by its bytes, whatever letters they are', () => {
    const asHeader = Buffer.from('schlüssel', 'utf8').toString('latin1') // how Node hands over a header
    expect(findApiKey(parseApiKeys(`u:${sha256('schlüssel')}:read`), asHeader)?.name).toBe('u')
  })
})

describe('a new key', () => {
  it('is what its entry lets in', () => {
    const { key, entry } = makeApiKey('ci', 'write')
    expect(key).toMatch(/^carillon_[\w-]{43}$/)
    expect(entry).toBe(`ci:${sha256(key)}:write`)
    expect(findApiKey(parseApiKeys(entry), key)).toMatchObject({ name: 'ci', scopes: ['write'] })
  })

  it('is never the same twice', () => {
    expect(makeApiKey('ci', 'write').key).not.toBe(makeApiKey('ci', 'write').key)
  })
})
