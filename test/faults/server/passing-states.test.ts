import { describe, expect, it, onTestFinished } from 'vitest'
import { keysOf } from '../../../src/store/keys.ts'
import { startFleet } from '../../support/fleet.ts'
import { startRedis, type TestRedis, type TestRedisOptions } from '../../support/redis.ts'
import { until } from '../../support/until.ts'

/** A server on a Redis of its own. @param prepare what to do with that first */
async function start(
  options: TestRedisOptions = {},
  prepare: (redis: TestRedis) => Promise<unknown> = async () => undefined,
) {
  const redis = await startRedis(options)
  await prepare(redis)
  const fleet = await startFleet({ size: 1, redisUrl: redis.url })
  onTestFinished(() => redis.stop())
  const [server] = fleet.servers
  if (server === undefined) throw new Error('there is no server')
  const post = async (more: object = {}) =>
    (await server.call('POST', '/v1/messages', { payload: 1, delay: '1h', ...more })).status
  /** What reads and writes answer: all that is not 503. */
  const othersThan503 = async () => {
    const statuses = [
      await post(),
      await post({ id: 'mine' }),
      (await server.call('PATCH', '/v1/messages/known', { payload: 2 })).status,
      (await server.call('DELETE', '/v1/messages/known')).status,
    ]
    return statuses.filter((status) => status !== 503)
  }
  const stored = async () => redis.client.hkeys(keysOf(0, fleet.namespace).messages)
  expect(await post({ id: 'known' })).toBe(201)
  return { redis, server, post, othersThan503, stored }
}

const NOBODY = 1 // a port on which nothing listens

async function untilItSays({ client }: TestRedis, word: string): Promise<void> {
  const said = () =>
    (word === 'READONLY' ? client.set('probe', '1') : client.get('probe')).then(
      () => '',
      (error: Error) => error.message,
    )
  await until(`Redis says ${word}`, async () => (await said()).startsWith(word))
}

describe('a Redis that refuses for now', () => {
  it('answers READONLY: requests get 503, and are served once it is a master', async () => {
    const { redis, post, othersThan503, stored } = await start()
    await redis.client.replicaof('127.0.0.1', NOBODY)
    await untilItSays(redis, 'READONLY')
    expect(await othersThan503()).toEqual([])
    await redis.client.replicaof('NO', 'ONE')
    await until('it takes messages', async () => (await post({ id: 'after' })) === 201)
    expect((await stored()).sort()).toEqual(['after', 'known'])
  })

  it('answers MASTERDOWN: requests get 503, reads too, and are served once it is a master', async () => {
    const { redis, server, post, othersThan503, stored } = await start({
      args: ['--replica-serve-stale-data', 'no', '--replica-read-only', 'no'],
    })
    await redis.client.replicaof('127.0.0.1', NOBODY)
    await untilItSays(redis, 'MASTERDOWN')
    expect(await othersThan503()).toEqual([])
    expect((await server.call('GET', '/v1/messages/known')).status).toBe(503)
    await redis.client.replicaof('NO', 'ONE')
    await until('it takes messages', async () => (await post({ id: 'after' })) === 201)
    expect((await stored()).sort()).toEqual(['after', 'known'])
  })

  it('answers LOADING: requests get 503', async () => {
    const { redis, server, othersThan503 } = await start({
      args: ['--key-load-delay', '1000', '--loading-process-events-interval-bytes', '1024'],
    })
    const master = await startRedis()
    onTestFinished(() => master.stop())
    // A copy of this many keys takes it two seconds and more.
    await master.client.mset(Object.fromEntries(Array.from({ length: 3_000 }, (_, i) => [`key${i}`, 'x'])))
    await redis.client.replicaof('127.0.0.1', master.port)
    await untilItSays(redis, 'LOADING')
    expect(await othersThan503()).toEqual([])
    expect((await server.call('GET', '/v1/messages/known')).status).toBe(503)
  })

  it('answers CLUSTERDOWN: requests get 503, and are served once its slots are', async () => {
    const takeSlots = async ({ client }: TestRedis) => {
      await client.call('CLUSTER', 'ADDSLOTSRANGE', 0, 16_383)
      await until('it serves them', async () =>
        String(await client.call('CLUSTER', 'INFO')).includes('cluster_state:ok'),
      )
    }
    const { redis, post, othersThan503, stored } = await start(
      { args: ['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000'] },
      takeSlots,
    )
    await redis.client.call('CLUSTER', 'DELSLOTSRANGE', 0, 16_383)
    await untilItSays(redis, 'CLUSTERDOWN')
    expect(await othersThan503()).toEqual([])
    await takeSlots(redis)
    await until('it takes messages', async () => (await post({ id: 'after' })) === 201)
    expect((await stored()).sort()).toEqual(['after', 'known'])
  })
})
