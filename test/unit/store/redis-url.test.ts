import { describe, expect, it } from 'vitest'
import { describeTarget, parseRedisTarget, parseRedisUrl } from '../../../src/store/redis-url.ts'

describe('REDIS_URL', () => {
  it.each([
    ['redis://localhost', { kind: 'single', host: 'localhost', port: 6379, tls: false, db: 0 }],
    ['redis://[::1]:7000/3', { kind: 'single', host: '::1', port: 7000, tls: false, db: 3 }],
    [
      'rediss://me:p%40ss@h:1',
      { kind: 'single', host: 'h', port: 1, tls: true, db: 0, username: 'me', password: 'p@ss' },
    ],
    ['unix:///run/redis.sock?db=2', { kind: 'socket', path: '/run/redis.sock', tls: false, db: 2 }],
    [
      'redis://:pw@a:7000,b:7001,redis://c',
      {
        kind: 'cluster',
        nodes: [
          { host: 'a', port: 7000 },
          { host: 'b', port: 7001 },
          { host: 'c', port: 6379 },
        ],
        tls: false,
        db: 0,
        password: 'pw',
      },
    ],
    [
      'redis+sentinel://:pw@a:1,b/main/4',
      {
        kind: 'sentinel',
        sentinels: [
          { host: 'a', port: 1 },
          { host: 'b', port: 26379 },
        ],
        name: 'main',
        tls: false,
        db: 4,
        password: 'pw',
      },
    ],
  ])('%s is understood', (text, target) => {
    expect(parseRedisUrl(text)).toEqual(target)
  })

  it.each([
    'localhost:6379',
    'http://x',
    'redis://',
    'redis://h:99999',
    'redis://h/x',
    'unix://',
    'redis://a,b/2x',
    'redis://a/1,b',
    'redis+sentinel://a:1',
  ])('%s is refused', (text) => {
    expect(() => parseRedisUrl(text)).toThrow(TypeError)
  })

  it('holds the credentials of Redis, and those of sentinels are apart', () => {
    const settings = { ca: 'PEM', sentinelUsername: 'watcher', sentinelPassword: 'seen' }
    expect(parseRedisTarget('rediss+sentinel://me:pw@a:1/main', settings)).toEqual({
      ...{ kind: 'sentinel', sentinels: [{ host: 'a', port: 1 }], name: 'main', tls: true, db: 0, ca: 'PEM' },
      ...{ username: 'me', password: 'pw', sentinelCredentials: { username: 'watcher', password: 'seen' } },
    })
  })

  it('is described without its password', () => {
    expect(describeTarget(parseRedisUrl('redis://u:secret@h:1'))).toBe('h:1')
    expect(describeTarget(parseRedisUrl('redis://:secret@h:1,g:2'))).toBe('cluster h:1,g:2')
  })
})
