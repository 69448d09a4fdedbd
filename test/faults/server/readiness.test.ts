import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createReadiness, type ReadinessOptions } from '../../../src/server/readiness.ts'
import { connect, type RedisConnection } from '../../../src/store/connect.ts'
import { parseRedisUrl } from '../../../src/store/redis-url.ts'
import { pingRedis, readRedisFacts } from '../../../src/store/requirements.ts'
import { startRedis, type TestRedis } from '../../support/redis.ts'
import { machineMs } from '../../support/speed.ts'
import { until } from '../../support/until.ts'

const never = () => new Promise<never>(() => undefined)
const allWell: ReadinessOptions = {
  ping: async () => undefined,
  facts: async () => ({ usedMemoryBytes: 1, maxMemoryBytes: 0 }),
  oldestOverdueMs: async () => 0,
  maxLateMs: 60_000,
}
const facts = (usedMemoryBytes: number, maxMemoryBytes: number) => ({
  facts: async () => ({ usedMemoryBytes, maxMemoryBytes }),
})
/** @returns 'ready', or why not */
const ask = (options: Partial<ReadinessOptions>) =>
  createReadiness({ ...allWell, ...options })().then(
    () => 'ready',
    (error: Error) => error.message,
  )
const FULL = 'Redis uses more than 90 % of its maxmemory'

describe('a server that is ready', () => {
  it.each([
    ['when all is well', {}],
    ['with memory at 90 % of what Redis may use', facts(900, 1_000)],
    ['with whatever memory in use, where Redis has no limit', facts(1e12, 0)],
    ['with the oldest overdue message as late as it may be', { oldestOverdueMs: async () => 60_000 }],
  ])('says so %s', async (_when, options) => {
    expect(await ask(options)).toBe('ready')
  })
})

describe('a server that is not ready', () => {
  it.each([
    ['a byte above 90 % of what Redis may use', facts(901, 1_000), FULL],
    [
      'a millisecond later than a message may be',
      { oldestOverdueMs: async () => 60_001 },
      'the oldest overdue message is 60001 ms late, more than 60000 ms',
    ],
    ['when Redis is away', { ping: () => Promise.reject(new Error('no way')) }, 'no way'],
  ])('says so %s', async (_when, options, why) => {
    expect(await ask(options)).toBe(why)
  })

  it('names every reason that applies', async () => {
    const all = {
      ...facts(95, 100),
      ping: () => Promise.reject(new Error('no way')),
      oldestOverdueMs: async () => 99_000,
    }
    expect(await ask(all)).toBe(
      `no way; ${FULL}; the oldest overdue message is 99000 ms late, more than 60000 ms`,
    )
  })

  it('says what it cannot know, but only once that Redis is away', async () => {
    const lost = () => Promise.reject(new Error('lost'))
    expect(await ask({ facts: lost, oldestOverdueMs: lost })).toBe(
      'the memory of Redis is unknown: lost; the lateness of messages is unknown: lost',
    )
    expect(await ask({ ping: lost, facts: lost, oldestOverdueMs: lost })).toBe('lost')
  })

  it.each([
    ['any look', { ping: never }, /^Redis did not answer in time$/],
    ['how full it is', { facts: never }, /^the memory of Redis is unknown: /],
    ['how late messages are', { oldestOverdueMs: never }, /^the lateness of messages is unknown: /],
    ['all', { ping: never, facts: never, oldestOverdueMs: never }, /^Redis did not answer in time$/],
  ])('says in time that Redis takes too long over %s', async (_what, options, why) => {
    const began = performance.now()
    expect(await ask({ ...options, withinMs: 400 })).toMatch(why)
    expect(machineMs(began)).toBeLessThan(1_150) // three checks one after another would take 1,200 ms
  })
})

it('all who ask at once share one look, and the next one gets a new one', async () => {
  let looks = 0
  const isReady = createReadiness({
    ...allWell,
    ping: async () => {
      looks += 1
      if (looks === 1) throw new Error('not yet')
    },
  })
  const first = await Promise.allSettled([isReady(), isReady(), isReady()])
  expect(first.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
  expect(looks).toBe(1)
  await isReady()
  expect(looks).toBe(2)
})

describe('with a Redis of its own', () => {
  let redis: TestRedis
  let connection: RedisConnection
  const readinessOn = ({ client, unavailableReason }: RedisConnection) =>
    createReadiness({
      ...allWell,
      ping: () => pingRedis(client, unavailableReason),
      facts: () => readRedisFacts(client),
    })
  const usedMemory = async () => Number((await readRedisFacts(connection.client)).usedMemoryBytes)
  const why = () =>
    readinessOn(connection)().then(
      () => 'ready',
      (error: Error) => error.message,
    )

  beforeAll(async () => {
    redis = await startRedis({ args: ['--maxmemory', '1gb'] })
    connection = connect(parseRedisUrl(redis.url))
    await connection.waitUntilReady(60_000)
  })
  afterAll(async () => {
    await connection.close()
    await redis.stop()
  })
  afterEach(() => redis.client.config('SET', 'maxmemory', '1gb'))

  it('follows how full it is', async () => {
    expect(await why()).toBe('ready')
    const usedMemoryBytes = await usedMemory()
    await redis.client.config('SET', 'maxmemory', Math.floor(usedMemoryBytes * 1.05))
    expect(await why()).toBe(FULL)
    await redis.client.config('SET', 'maxmemory', usedMemoryBytes * 2)
    expect(await why()).toBe('ready')
    await redis.client.config('SET', 'maxmemory', 0)
    expect(await why()).toBe('ready')
  })

  it('judges no memory that its user may not ask about', async () => {
    await redis.client.config('SET', 'maxmemory', await usedMemory())
    await redis.client.call('ACL', 'SETUSER', 'plain', 'on', '>secret', '~*', '+@all', '-info')
    const plain = connect(parseRedisUrl(`redis://plain:secret@127.0.0.1:${redis.port}`))
    await plain.waitUntilReady(60_000)
    expect(await readRedisFacts(plain.client)).toEqual({
      version: null,
      usedMemoryBytes: null,
      maxMemoryBytes: null,
    })
    await readinessOn(plain)()
    await plain.close()
  })

  it('says within a second or so that it is silent, and is ready once it speaks', async () => {
    redis.signal('SIGSTOP')
    try {
      const began = performance.now()
      expect(await why()).toBe('Redis did not answer within a second')
      expect(machineMs(began)).toBeLessThan(1_500)
    } finally {
      redis.signal('SIGCONT')
    }
    await until('it is ready again', async () => (await why()) === 'ready')
  })

  it('says that it is gone, and is ready once it is back', async () => {
    await redis.kill()
    expect(await why()).toMatch(/Redis|ECONNREFUSED|closed/)
    await until('the connection is known to be lost', () => !connection.isReady())
    expect(await why()).toBe(connection.unavailableReason())
    await redis.start()
    await until('it is ready again', async () => (await why()) === 'ready')
  })
})
