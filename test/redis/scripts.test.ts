import { describe, expect, inject, it } from 'vitest'
import { SchedulerError } from '../../src/errors.ts'
import { connect } from '../../src/redis/connect.ts'
import { createMessageScripts } from '../../src/redis/message-scripts.ts'
import { createScripts } from '../../src/redis/scripts.ts'
import { parseRedisUrl } from '../../src/redis/url.ts'
import { startRedis } from '../support/redis.ts'
import { delivered, RETENTION } from '../support/retention.ts'
import { describeScripts } from './script-promises.ts'

describeScripts('one Redis', () => inject('redisUrl'), 0)

describe('a full Redis', () => {
  it('takes no more messages but can still be emptied', async () => {
    const redis = await startRedis()
    const connection = connect(parseRedisUrl(redis.url))
    try {
      await connection.waitUntilReady(5_000)
      const scripts = createScripts(connection.client, { namespace: 'carillon', retention: RETENTION })
      const entry = (id: string) => ({ id, due: { at: 1 }, rule: 'any' as const, body: '\n"x"' })
      await scripts.schedule(0, [entry('a'), entry('b')])
      await redis.client.config('SET', 'maxmemory', '1')

      await expect(scripts.schedule(0, [entry('c')])).rejects.toMatchObject({ code: 'STORE_FULL' })
      const { claims } = await scripts.claim(0, { token: 't', limit: 10, lockMs: 10_000 })
      expect(claims.map(({ id }) => id)).toEqual(['a', 'b'])
      expect(
        await scripts.release(0, { token: 't', releases: [{ id: 'b', why: 'returned', dueAt: 1 }] }),
      ).toEqual([])
      expect(await scripts.acknowledge(0, { token: 't', delivered: delivered('a') })).toEqual([])
      expect(await redis.client.hkeys('{carillon:0}:messages')).toEqual(['b'])
    } finally {
      await connection.close()
      await redis.stop()
    }
  })
})

describe('a page of large messages', () => {
  it('reads no more of them than it answers, but for one', async () => {
    const redis = await startRedis()
    const connection = connect(parseRedisUrl(redis.url))
    try {
      await connection.waitUntilReady(5_000)
      const options = { namespace: 'carillon', retention: RETENTION }
      const scripts = createScripts(connection.client, options)
      const body = `\n"${'x'.repeat(900_000)}"`
      const entries = Array.from({ length: 12 }, (_, i) => ({
        id: `m${i}`,
        due: { at: i },
        rule: 'any' as const,
        body,
      }))
      await scripts.schedule(0, entries)
      const { list } = createMessageScripts(connection.client, options)
      const query = { index: 'scheduled', from: null, before: null, after: null, keep: 'all' } as const
      await redis.client.config('RESETSTAT')
      const { rows, end } = await list(0, { ...query, limit: 100, bytes: 2_000_000 })
      expect(rows.map(({ id }) => id)).toEqual(['m0', 'm1'])
      expect(end).toEqual({ score: '1', id: 'm1' })
      const read = /cmdstat_hget:calls=(\d+)/.exec(await redis.client.info('commandstats'))
      expect(Number(read?.[1])).toBe(3)
    } finally {
      await connection.close()
      await redis.stop()
    }
  })
})

describe('a Redis that is away', () => {
  it('fails every call at once, in words a caller can act on', async () => {
    const redis = await startRedis()
    const connection = connect(parseRedisUrl(redis.url))
    await connection.waitUntilReady(5_000)
    const scripts = createScripts(connection.client, { namespace: 'carillon', retention: RETENTION })
    await redis.stop()
    const failure = await scripts
      .acknowledge(0, { token: 't', delivered: delivered('a') })
      .catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(SchedulerError)
    expect(failure).toMatchObject({ code: 'STORE_UNAVAILABLE' })
    await connection.close()
  })
})
