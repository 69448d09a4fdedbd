import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { startFleet } from '../support/fleet.ts'
import { startRedis, type TestRedis } from '../support/redis.ts'
import { refusedStart } from '../support/service.ts'

describe('a bad setting', () => {
  it.each([
    ['PORT', '70000', /^carillon: PORT is "70000"; allowed: .*0 to 65535\n$/],
    ['LOCK_TTL_MS', '30s', /^carillon: LOCK_TTL_MS is "30s"; allowed: .*1000 to/],
    ['LOG_LEVEL', 'loud', /^carillon: LOG_LEVEL is "loud"; allowed: one of fatal, error/],
    ['ROLES', 'api,boss', /^carillon: ROLES is "api,boss"; allowed: api, worker or both/],
    ['REDIS_URL', 'http://:secret@x', /^carillon: REDIS_URL cannot be used: .*; allowed: redis:\/\//],
    ['HOST', '203.0.113.7', /^carillon: HOST is "203.0.113.7", which is no address of this machine\n$/],
  ])('%s=%s ends the start with 1 and one line', async (name, value, line) => {
    const { code, stderr } = await refusedStart({ [name]: value })
    expect(code).toBe(1)
    expect(stderr).toMatch(line)
    expect(stderr.trimEnd()).not.toContain('\n')
    expect(stderr).not.toContain('secret')
  })

  it('that another program holds is named', async () => {
    const fleet = await startFleet({ size: 1 })
    const port = new URL(fleet.servers[0]?.url ?? '').port
    const { code, stderr } = await refusedStart({ PORT: port, NAMESPACE: fleet.namespace })
    expect(code).toBe(1)
    expect(stderr).toBe(
      `carillon: PORT is ${port}, which another program on 127.0.0.1 is using; set another PORT\n`,
    )
  })
})

describe('SIGTERM', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('%s ends an idle server with 0', async (signal) => {
    const fleet = await startFleet({ size: 1 })
    expect(await fleet.servers[0]?.end(signal)).toBe(0)
  })
})

describe('fewer shards than before', () => {
  it('are refused, as the messages of the rest would never come', async () => {
    const fleet = await startFleet({ size: 1, env: { SHARDS: '3' } })
    const { code, stderr } = await refusedStart({
      REDIS_URL: inject('redisUrl'),
      NAMESPACE: fleet.namespace,
      SHARDS: '2',
    })
    expect(code).toBe(1)
    expect(stderr).toMatch(/^carillon: SHARDS is 2 but .* 3 shards.*SHARDS=3\n$/)
  })
})

describe('a Redis', () => {
  let redis: TestRedis
  beforeEach(async () => {
    redis = await startRedis()
  })
  afterEach(() => redis.stop())

  it('that may evict is refused with a line that says what to set', async () => {
    await redis.client.config('SET', 'maxmemory-policy', 'allkeys-lru')
    const { code, stderr } = await refusedStart({ REDIS_URL: redis.url })
    expect(code).toBe(1)
    expect(stderr).toMatch(
      /^carillon: Redis's maxmemory-policy is allkeys-lru.*noeviction.*ALLOW_EVICTION=true.*\n$/,
    )
  })

  it('that may evict is taken, with a warning, where ALLOW_EVICTION=true', async () => {
    await redis.client.config('SET', 'maxmemory-policy', 'allkeys-lru')
    const fleet = await startFleet({ size: 1, redisUrl: redis.url, env: { ALLOW_EVICTION: 'true' } })
    expect(fleet.servers[0]?.log.map((line) => line.msg)).toContainEqual(expect.stringMatching(/allkeys-lru/))
  })

  it('without persistence is warned of', async () => {
    await redis.client.config('SET', 'appendonly', 'no')
    const fleet = await startFleet({ size: 1, redisUrl: redis.url })
    expect(fleet.servers[0]?.log.map((line) => line.msg)).toContainEqual(
      expect.stringMatching(/append-only file is off/),
    )
  })

  it('that wants another password is named as such', async () => {
    await redis.client.config('SET', 'requirepass', 'right')
    const { code, stderr } = await refusedStart({
      REDIS_URL: redis.url.replace('redis://', 'redis://:wrong@'),
    })
    expect(code).toBe(1)
    expect(stderr).toMatch(/^carillon: Redis refused the credentials in REDIS_URL/)
    expect(stderr).not.toContain('wrong@')
  })
})
