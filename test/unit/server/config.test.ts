import { describe, expect, it } from 'vitest'
import { ConfigError, readConfig } from '../../../src/server/config.ts'

describe('the settings', () => {
  it('have the documented defaults', () => {
    expect(readConfig({})).toEqual({
      HOST: '127.0.0.1',
      PORT: 3000,
      PROCESSES: 1,
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
      EVENTS: 'auto',
      EVENTS_MAX: 10_000,
      DEAD_MAX: 10_000,
      DEAD_TTL_MS: 14 * 24 * 3_600_000,
      RETRY_ATTEMPTS: 5,
      RETRY_MIN_MS: 1_000,
      RETRY_MAX_MS: 3_600_000,
      RETRY_FACTOR: 2,
      RETRY_JITTER: 'full',
      MAX_RECOVERIES: 3,
      DELIVERY_CONCURRENCY: 256,
      HOST_CONCURRENCY: 32,
      READY_MAX_LATE_MS: 60_000,
      TEST_CLOCK: 'false',
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
      /^PORT is "-1"; allowed: [^;]+; ROLES is "api,api"; .*; LOCK_TTL_MS is "1e4"; .*; CLAIM_BATCH is "0"; [^\n]+$/,
    )
  })

  it.each(['0', '257', '2.0', '-1', 'auto'])('PROCESSES=%j is refused', (PROCESSES) => {
    expect(() => readConfig({ PROCESSES })).toThrow(/^PROCESSES is "[^"]+"; allowed: .* from 1 to 256$/)
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

    it.each([
      ['ALLOWED_HOSTS', 'carillon.internal,[fd00::1]:3000', 'http://carillon.internal'],
      ['CORS_ORIGINS', 'https://app.example.com', '*'],
      ['TRUST_PROXY', '127.0.0.1, 10.0.0.0/8,fd00::/8', 'true'],
    ])('take %s=%s, and refuse %s in one line that names it', (name, right, wrong) => {
      expect(readConfig({ [name]: right })).toMatchObject({ [name]: right })
      expect(readConfig({ [name]: '' })).toEqual(readConfig({}))
      expect(() => readConfig({ [name]: wrong })).toThrow(ConfigError)
      expect(() => readConfig({ [name]: wrong })).toThrow(
        new RegExp(`^${name} is "[^\\n]+; allowed: [^\\n]+$`),
      )
    })

    it('name what is wrong with a key, and no part of it', () => {
      const read = () => readConfig({ API_KEYS: `${API_KEYS},ops:${HASH}x:write`, HOST: '0.0.0.0' })
      expect(read).toThrow(
        /^API_KEYS cannot be used.*entry 2 has no SHA-256 of 64 hex digits.*; allowed: name:/,
      )
      expect(read).not.toThrow(/abab/)
    })
  })

  describe('of deliveries', () => {
    it('are read as they are given', () => {
      const env = {
        ...{ DEAD_MAX: '0', DEAD_TTL_MS: '315360000000', RETRY_ATTEMPTS: '1', RETRY_MIN_MS: '20' },
        ...{ RETRY_MAX_MS: '20', RETRY_FACTOR: '1.5', RETRY_JITTER: 'none', MAX_RECOVERIES: '0' },
        ...{ DELIVERY_CONCURRENCY: '10000', HOST_CONCURRENCY: '1', READY_MAX_LATE_MS: '0' },
        WEBHOOK_ALLOW: '10.0.0.0/8, ::1,example.test',
      }
      expect(readConfig(env)).toMatchObject({
        ...{ DEAD_MAX: 0, DEAD_TTL_MS: 315_360_000_000, RETRY_ATTEMPTS: 1, RETRY_MIN_MS: 20 },
        ...{ RETRY_MAX_MS: 20, RETRY_FACTOR: 1.5, RETRY_JITTER: 'none', MAX_RECOVERIES: 0 },
        ...{ DELIVERY_CONCURRENCY: 10_000, HOST_CONCURRENCY: 1, READY_MAX_LATE_MS: 0 },
        WEBHOOK_ALLOW: '10.0.0.0/8, ::1,example.test',
      })
    })

    it.each([
      ['DEAD_MAX', '10000001'],
      ['DEAD_TTL_MS', '-1'],
      ['RETRY_ATTEMPTS', '0'],
      ['RETRY_MIN_MS', '0'],
      ['RETRY_MAX_MS', '2592000001'],
      ['RETRY_FACTOR', '0.9'],
      ['RETRY_FACTOR', '101'],
      ['RETRY_FACTOR', '1e1'],
      ['RETRY_FACTOR', 'two'],
      ['RETRY_JITTER', 'half'],
      ['MAX_RECOVERIES', '1001'],
      ['DELIVERY_CONCURRENCY', '0'],
      ['HOST_CONCURRENCY', '10001'],
      ['READY_MAX_LATE_MS', '1.5'],
      ['WEBHOOK_ALLOW', '10.0.0.0/33'],
      ['WEBHOOK_ALLOW', 'http://example.test'],
    ])('refuse %s=%s, by name and value, with what is allowed', (name, value) => {
      const read = () => readConfig({ [name]: value })
      expect(read).toThrow(ConfigError)
      const shown = value.replace(/[/.+]/g, '\\$&')
      expect(read).toThrow(new RegExp(`^${name} is "${shown}"[^\\n]*; allowed: [^\\n]+$`))
    })

    it('refuse a first wait that is longer than the longest, whichever of the two was given', () => {
      const both = () => readConfig({ RETRY_MIN_MS: '600', RETRY_MAX_MS: '500' })
      expect(both).toThrow('RETRY_MIN_MS is 600, which is more than RETRY_MAX_MS, 500')
      expect(() => readConfig({ RETRY_MIN_MS: '3600001' })).toThrow(/more than RETRY_MAX_MS, 3600000/)
      expect(() => readConfig({ RETRY_MAX_MS: '999' })).toThrow(/RETRY_MIN_MS is 1000/)
      // Numbers, and not their digits, are compared.
      expect(readConfig({ RETRY_MIN_MS: '900', RETRY_MAX_MS: '1000' }).RETRY_MIN_MS).toBe(900)
    })

    it('take several secrets, and show nothing of one that is none', () => {
      const secret = `whsec_${Buffer.alloc(24, 'k').toString('base64')}`
      const other = `whsec_${Buffer.alloc(64, 'o').toString('base64')}`
      const WEBHOOK_SECRETS = `${secret},${other}`
      expect(readConfig({ WEBHOOK_SECRETS }).WEBHOOK_SECRETS).toBe(WEBHOOK_SECRETS)
      const read = () => readConfig({ WEBHOOK_SECRETS: `${secret},whsec_c2hvcnQ=` })
      expect(read).toThrow(/^WEBHOOK_SECRETS cannot be used [^\n]*; allowed: [^\n]+$/)
      expect(read).not.toThrow(/a2tr|c2hv/)
      expect(() => readConfig({ WEBHOOK_SECRETS: `${secret},` })).toThrow(/^WEBHOOK_SECRETS cannot be used/)
      expect(() => readConfig({ WEBHOOK_SECRETS: 'mySecretWord' })).toThrow(
        /^(?!.*mySecretWord)WEBHOOK_SECRETS cannot/,
      )
    })
  })
})
