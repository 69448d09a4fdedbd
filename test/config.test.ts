import { describe, expect, it } from 'vitest'
import { ConfigError, readConfig } from '../src/config.ts'

describe('the settings', () => {
  it('have the defaults that the README lists', () => {
    expect(readConfig({})).toEqual({
      HOST: '127.0.0.1',
      PORT: 3000,
      ALLOW_EVICTION: false,
      NAMESPACE: 'carillon',
      SHARDS: 1,
      LOCK_TTL_MS: 30_000,
      CLAIM_BATCH: 500,
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
})
