import type { Cluster, Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach } from 'vitest'
import { encodeRecordBody } from '../../src/records/record.ts'
import { connect, type RedisConnection } from '../../src/store/connect.ts'
import { keysOf, type ShardKeys } from '../../src/store/keys.ts'
import { parseRedisUrl } from '../../src/store/redis-url.ts'
import type { ScheduleCall, ScheduleEntry, ScheduleReply } from '../../src/store/scripts/schedule.ts'
import { createScripts, type Scripts } from '../../src/store/scripts/scripts.ts'
import { freshCall } from './fresh-call.ts'
import { freshNamespace } from './namespace.ts'
import { clearNamespace } from './redis.ts'
import { readRedisClock } from './redis-time.ts'
import { SETTINGS } from './retention.ts'

/** The scripts on a real Redis, with a clock that a test can move. */
export interface ScriptWorld {
  /** Each call of schedule is a new one, unless `call` is given. */
  readonly scripts: Scripts & {
    schedule(shard: number, entries: readonly ScheduleEntry[], call?: ScheduleCall): Promise<ScheduleReply>
  }
  readonly client: Redis | Cluster
  readonly namespace: string
  readonly shard: number
  readonly keys: ShardKeys
  /** Redis's clock plus the offset, as the scripts see it */
  now(): Promise<number>
  /** how far the clock of the scripts has been moved, ms */
  clockOffsetMs(): number
  /** Moves the clock of the scripts forward, without waiting. */
  pass(ms: number): void
  entry(id: string, dueAt: number, rule?: ScheduleEntry['rule']): ScheduleEntry
  lockOf(id: string): Promise<string | null>
  /** The scheduled and claimed messages of the shard as text, to show that nothing changed. */
  snapshot(): Promise<string>
}

/** Sets up the scripts before every test of the current `describe`, each in a new namespace. */
export function useScripts(redisUrl: () => string, shard = 0, settings = SETTINGS): () => ScriptWorld {
  let connection: RedisConnection
  let world: ScriptWorld | undefined
  beforeAll(async () => {
    connection = connect(parseRedisUrl(redisUrl()))
    await connection.waitUntilReady(60_000)
  })
  beforeEach(async () => {
    const namespace = freshNamespace()
    const { client } = connection
    const keys = keysOf(shard, namespace)
    let offset = 0
    const scripts = createScripts(client, { ...settings, namespace, clockOffsetMs: () => offset })
    world = {
      scripts: {
        ...scripts,
        schedule: async (at, entries, call) =>
          scripts.schedule(at, entries, call ?? freshCall((await readRedisClock(client)) + offset)),
      },
      client,
      namespace,
      shard,
      keys,
      now: async () => (await readRedisClock(client)) + offset,
      clockOffsetMs: () => offset,
      pass(ms) {
        offset += ms
      },
      entry: (id, dueAt, rule = 'any') => ({
        id,
        due: { at: dueAt },
        rule,
        body: encodeRecordBody(JSON.stringify(`text of ${id}`)),
      }),
      lockOf: (id) => client.get(keys.lockPrefix + id),
      snapshot: async () =>
        JSON.stringify(
          await Promise.all([
            client.zrange(keys.scheduled, '0', '-1', 'WITHSCORES'),
            client.zrange(keys.claimed, '0', '-1', 'WITHSCORES'),
            client.hgetall(keys.messages),
            client.hgetall(keys.attempts),
          ]),
        ),
    }
    return () => clearNamespace(client, namespace)
  })
  afterAll(() => connection.close())
  return () => {
    if (world === undefined) throw new Error('the world is there only inside a test')
    return world
  }
}

/** How many messages of a shard are claimed. */
export const claimedCount = (w: ScriptWorld, shard = 0): Promise<number> =>
  w.client.zcard(keysOf(shard, w.namespace).claimed)

/** How many messages a shard has, except finished ones. */
export const storedCount = (w: ScriptWorld, shard = 0): Promise<number> =>
  w.client.hlen(keysOf(shard, w.namespace).messages)
