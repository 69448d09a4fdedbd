import { describe, expect, it } from 'vitest'
import { ConfigError, readConfig } from '../src/config.ts'

describe('the settings', () => {
  it('have the defaults that the README lists', () => {
    expect(readConfig({})).toEqual({
      HOST: '127.0.0.1',
      PORT: 3000,
      ALLOW_EVICTION: false,
      ALLOW_OPEN: false,
      RATE_LIMIT_PER_MINUTE: 0,
      NAMESPACE: 'carillon',
      SHARDS: 1,
      LOCK_TTL_MS: 30_000,
      CLAIM_BATCH: 500,
      BODY_LIMIT_BYTES: 1_048_576,
      BATCH_BODY_LIMIT_BYTES: 16_777_216,
      DEDUP_WINDOW_MS: 3_600_000,
      HISTORY_MAX: 10_000,
      HISTORY_TTL_MS: 3_600_000,
      SHUTDOWN_GRACE_MS: 10_000,
      LOG_LEVEL: 'info',
      ROLES: ['api', 'worker'],
    })
  })

  it('count as unset when empty, as a compose file leaves them', () => {
    expect(readConfig({ PORT: '', REDIS_URL: '' })).toEqual(readConfig({}))
  })

  it('spread over 16 shards on a cluster, and over one elsewhere', () => {
    expect(readConfig({ REDIS_URL: 'redis://a:1,redis://b:2' }).SHARDS).toBe(16)
    expect(readConfig({ REDIS_URL: 'redis://a:1' }).SHARDS).toBe(1)
    expect(readConfig({ REDIS_URL: 'redis://a:1,redis://b:2', SHARDS: '4' }).SHARDS).toBe(4)
  })

  it('are frozen', () => {
    expect(Object.isFrozen(readConfig({}))).toBe(true)
  })

  it('are all judged at once, in one line', () => {
    const read = () => readConfig({ PORT: '-1', CLAIM_BATCH: '0', LOCK_TTL_MS: '1e4', ROLES: 'api,api' })
    expect(read).toThrow(ConfigError)
    expect(read).toThrow(
      /^PORT is "-1"; allowed: [^;]+; LOCK_TTL_MS is "1e4"; .*; CLAIM_BATCH is "0"; .*; ROLES is "api,api"; [^\n]+$/,
    )
  })

  it.each(['3000 ', '0x10', '1.5', '١'])('PORT=%j is no number', (PORT) => {
    expect(() => readConfig({ PORT })).toThrow('PORT is ')
  })

  describe('of the door', () => {
    const HASH = 'ab'.repeat(32)
    const API_KEYS = `ci:${HASH}:read+write`

    it.each(['127.0.0.1', '127.8.9.10', '::1', 'localhost'])('need no keys on HOST=%s', (HOST) => {
      expect(readConfig({ HOST }).HOST).toBe(HOST)
    })

    it.each([
      '0.0.0.0',
      '::',
      '192.0.2.1',
      'example.test',
      '127.example.test',
      '128.0.0.1',
      'localhost.example.test',
    ])('need keys on HOST=%s, or the word that it is meant', (HOST) => {
      expect(() => readConfig({ HOST })).toThrow(ConfigError)
      expect(() => readConfig({ HOST })).toThrow(
        new RegExp(`^HOST is "${HOST}", [^\\n]* API_KEYS[^\\n]* ALLOW_OPEN=true [^\\n]*$`),
      )
      expect(() => readConfig({ HOST, API_KEYS: '', ALLOW_OPEN: 'false' })).toThrow(/^HOST is /)
      expect(readConfig({ HOST, API_KEYS }).API_KEYS).toBe(API_KEYS)
      expect(readConfig({ HOST, ALLOW_OPEN: 'true' }).ALLOW_OPEN).toBe(true)
    })

    it('name what is wrong with a key, and no part of it', () => {
      const read = () => readConfig({ API_KEYS: `${API_KEYS},ops:${HASH}x:write`, HOST: '0.0.0.0' })
      expect(read).toThrow(
        /^API_KEYS cannot be used.*entry 2 has no SHA-256 of 64 hex digits.*; allowed: name:/,
      )
      expect(read).not.toThrow(/abab/)
    })
  })
})
