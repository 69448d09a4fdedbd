import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import { afterAll, beforeAll, beforeEach, inject } from 'vitest'
import type { BatchSender } from '../../src/destinations/delivery.ts'
import { compose } from '../../src/server/compose.ts'
import { readConfig } from '../../src/server/config.ts'
import { createShardMap } from '../../src/shards/shard-map.ts'
import { connect, type RedisConnection } from '../../src/store/connect.ts'
import { keysOf, type ShardKeys } from '../../src/store/keys.ts'
import { createRedisClock } from '../../src/store/redis-clock.ts'
import { parseRedisUrl } from '../../src/store/redis-url.ts'
import { pingRedis } from '../../src/store/requirements.ts'
import { freshNamespace } from './namespace.ts'
import { clearNamespace } from './redis.ts'

/** A complete app on the shared Redis, in a namespace of its own. It claims only after `startClaiming`. */
export interface TestApp {
  readonly app: FastifyInstance
  readonly client: RedisConnection['client']
  readonly namespace: string
  /** of every shard: a cluster has several, unless the test sets SHARDS */
  readonly shards: readonly ShardKeys[]
  /** of the shard that an id belongs to */
  keysFor(id: string): ShardKeys
  /** the number of messages in any state, except finished ones */
  stored(): Promise<number>
  /** the ids that were delivered to the console */
  readonly delivered: string[]
  startClaiming(): void
}

/** Sets up an app before every test of the current file or `describe`. */
export function useApp(env: Readonly<Record<string, string>> = {}): () => TestApp {
  let connection: RedisConnection
  let world: TestApp | undefined
  beforeAll(async () => {
    connection = connect(parseRedisUrl(inject('redisUrl')))
    await connection.waitUntilReady(60_000)
  })
  afterAll(() => connection.close())
  beforeEach(async () => {
    const namespace = freshNamespace()
    const config = readConfig({ REDIS_URL: inject('redisUrl'), ...env, NAMESPACE: namespace })
    const shards = Array.from({ length: config.SHARDS }, (_, shard) => keysOf(shard, namespace))
    const { client } = connection
    const delivered: string[] = []
    const console: BatchSender = {
      async deliver(batch) {
        delivered.push(...batch.map(({ id }) => id))
        return batch.map(() => ({ kind: 'delivered' }))
      },
    }
    const clock = createRedisClock()
    const shardMap = createShardMap(config.SHARDS, clock.now)
    const { app, claimers, membership, runner, actLog, shardSync } = await compose({
      config,
      console,
      logger: pino({ level: 'silent' }),
      connection,
      clock,
      shardMap,
      redisUser: { db: 0, username: undefined },
      checkHealth: () => pingRedis(connection.client, connection.unavailableReason),
    })
    await shardSync.sync()
    shardSync.start()
    world = {
      app,
      client,
      namespace,
      shards,
      keysFor: (id) => keysOf(shardMap.shardsOf(id)[0] ?? 0, namespace),
      async stored() {
        const counts = await Promise.all(shards.map(({ messages }) => client.hlen(messages)))
        return counts.reduce((sum, count) => sum + count, 0)
      },
      delivered,
      startClaiming() {
        membership.start()
        claimers.start()
      },
    }
    return async () => {
      await app.close()
      await claimers.stop({ graceMs: 1_000 })
      await runner.stop()
      await actLog.close()
      shardSync.stop()
      await membership.stop()
      await clearNamespace(connection.client, namespace)
    }
  })
  return () => {
    if (world === undefined) throw new Error('the app is there only inside a test')
    return world
  }
}
