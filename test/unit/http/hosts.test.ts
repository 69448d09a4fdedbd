import { describe, expect, it } from 'vitest'
import {
  isEntryFor,
  isLoopbackName,
  parseAllowedHosts,
  parseAuthority,
  parseCorsOrigins,
  parseOrigin,
} from '../../../src/http/plugins/hosts.ts'

describe('a host', () => {
  it.each([
    ['LocalHost:3000', 'localhost', '3000'],
    ['carillon.localhost.', 'carillon.localhost', ''],
    ['127.1:080', '127.0.0.1', '80'],
    ['[0:0:0:0:0:0:0:1]:65535', '[::1]', '65535'],
    ['[::ffff:127.0.0.1]', '[::ffff:7f00:1]', ''],
    ['a_b.internal:', 'a_b.internal', ''],
  ])('%s is %s with port "%s"', (text, name, port) => {
    expect(parseAuthority(text)).toEqual({ name, port })
  })

  it.each([
    '',
    '.',
    ':3000',
    'localhost:65536',
    'localhost:+1',
    'me@localhost',
    'localhost/',
    'localhost,evil.example',
    'local host',
    '%6cocalhost',
    'ⓛocalhost',
    '[::1',
    '::1',
    '127.0.0.256',
  ])('%j is none', (text) => {
    expect(parseAuthority(text)).toBeUndefined()
  })

  it.each([
    'localhost',
    'a.b.localhost',
    '127.0.0.1',
    '127.255.0.9',
    '[::1]',
    '[::ffff:127.9.9.9]',
    '0x7f.1',
  ])('%s leads to this machine whoever looks it up', (text) => {
    expect(isLoopbackName(parseAuthority(text)?.name ?? '')).toBe(true)
  })

  it.each([
    'evil.example',
    'notlocalhost',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    '0.0.0.0',
    '128.0.0.1',
    '10.127.0.0',
    '[::]',
    '[::2]',
    '[::ffff:8.8.8.8]',
  ])('%s may lead elsewhere', (text) => {
    expect(isLoopbackName(parseAuthority(text)?.name ?? '')).toBe(false)
  })
})

describe('an origin', () => {
  it.each([
    ['http://localhost', { scheme: 'http', name: 'localhost', port: '80' }],
    ['https://App.Example.com', { scheme: 'https', name: 'app.example.com', port: '443' }],
    ['https://[::1]:8443', { scheme: 'https', name: '[::1]', port: '8443' }],
  ])('%s is read', (text, origin) => {
    expect(parseOrigin(text)).toEqual(origin)
  })

  it.each([
    '',
    'null',
    '*',
    'file://',
    'localhost',
    'http://a/',
    'http://a, http://a',
    'ftp://a',
    'http://me@a',
  ])('%j is none that can be compared', (text) => {
    expect(parseOrigin(text)).toBeUndefined()
  })
})

describe('ALLOWED_HOSTS', () => {
  const allows = (entry: string, host: string) =>
    parseAllowedHosts(entry).some((each) => isEntryFor(each, parseAuthority(host) ?? { name: '', port: '' }))

  it.each([
    ['carillon.internal', 'carillon.internal', true],
    ['carillon.internal', 'Carillon.Internal.:3000', true],
    ['carillon.internal:3000', 'carillon.internal:3000', true],
    ['carillon.internal:3000', 'carillon.internal', false],
    ['carillon.internal:3000', 'carillon.internal:3001', false],
    ['carillon.internal:443', 'carillon.internal', true],
    ['carillon.internal', 'www.carillon.internal', false],
    ['other, 192.0.2.1', '192.0.2.1:80', true],
    ['fd00::1', '[fd00::1]:3000', true],
    ['[fd00::1]:3000', '[fd00:0::1]:3000', true],
  ])('set to %s, has Host %s allowed: %s', (entry, host, allowed) => {
    expect(allows(entry, host)).toBe(allowed)
  })

  it.each(['a,', 'http://a', '*', '*.example.com', 'a/b', 'a b', 'a:99999', '10.0.0.0/8'])(
    '%j is refused',
    (text) => {
      expect(() => parseAllowedHosts(text)).toThrow(/^"[^"]*" is not a host name or address$/)
    },
  )
})

describe('CORS_ORIGINS', () => {
  it('are kept as browsers write them', () => {
    expect(parseCorsOrigins('HTTPS://App.example.com:443, http://localhost:5173')).toEqual([
      'https://app.example.com',
      'http://localhost:5173',
    ])
    expect(parseCorsOrigins('')).toEqual([])
  })

  it.each(['*', 'null', 'app.example.com', 'https://app.example.com/', 'https://a,', 'chrome-extension://a'])(
    '%j is refused',
    (text) => {
      expect(() => parseCorsOrigins(text)).toThrow(/^"[^"]*" is not an origin$/)
    },
  )
})
