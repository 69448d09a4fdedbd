import { setMaxListeners } from 'node:events'
import { Cluster } from 'ioredis'
import { pino } from 'pino'
import { inject, onTestFinished } from 'vitest'
import type { MessageOptions } from '../../src/domain/message.ts'
import type { Lease } from '../../src/leases/lease.ts'
import { RedisLeases } from '../../src/leases/leases.ts'
import { encodeRecordBody } from '../../src/records/record.ts'
import type { ShardMap } from '../../src/shards/shard-map.ts'
import { connect } from '../../src/store/connect.ts'
import { createRedisClock } from '../../src/store/redis-clock.ts'
import { parseRedisUrl } from '../../src/store/redis-url.ts'
import type { ScheduleEntry } from '../../src/store/scripts/schedule.ts'
import type { Scripts } from '../../src/store/scripts/scripts.ts'
import { listenForWakes } from '../../src/store/wake-listener.ts'
import { noteMetrics } from './noted-metrics.ts'
import type { ScriptWorld } from './script-world.ts'
import { shardMapOf } from './shards.ts'
import { machineMs } from './speed.ts'
import { until } from './until.ts'

export const pullEntry = (
  id: string,
  dueAt: number,
  queue = 'jobs',
  options: MessageOptions = {},
): ScheduleEntry => ({
  id,
  due: { at: dueAt },
  rule: 'any',
  body: encodeRecordBody(JSON.stringify(`work of ${id}`), {
    ...options,
    destination: { type: 'pull', queue },
  }),
})

export interface PullingOptions {
  readonly shards?: number
  readonly shardMap?: ShardMap
  readonly scripts?: Scripts
}

/** Leases on a real Redis, with a record of their calls. */
export function pullingOn(
  w: ScriptWorld,
  { shards = 1, shardMap = shardMapOf(shards), scripts: real = w.scripts }: PullingOptions = {},
) {
  const noted = noteMetrics()
  const claims: { shard: number; lane: string; limit: number; lockMs: number }[] = []
  let peeks = 0
  const scripts: Scripts = {
    ...real,
    lease(shard, args) {
      const { lane, limit, lockMs } = args
      claims.push({ shard, lane, limit, lockMs })
      return real.lease(shard, args)
    },
    peek(shard, lanes) {
      peeks += 1
      return real.peek(shard, lanes)
    },
  }
  const leases = new RedisLeases({
    ...{ scripts, clock: createRedisClock(), shardMap, logger: pino({ level: 'silent' }) },
    ...{ metrics: noted.metrics, serverId: 'server', askedQueues: { ask: () => () => undefined } },
  })
  const gone = new AbortController()
  setMaxListeners(0, gone.signal)
  onTestFinished(() => gone.abort())
  const claim = (
    queue = 'jobs',
    { limit = 10, lockMs = 30_000, waitMs = 0 }: { limit?: number; lockMs?: number; waitMs?: number } = {},
    signal = gone.signal,
  ) => leases.claim(queue, { limit, lockMs, waitMs }, signal)
  /** Claims one message. @throws Error if none is due */
  const claimOne = async (queue?: string, order?: { lockMs?: number }): Promise<Lease> => {
    const [lease] = await claim(queue, { ...order, limit: 1 })
    if (lease === undefined) throw new Error('there was nothing to claim')
    return lease
  }
  return { leases, claim, claimOne, noted, claims, peeks: () => peeks }
}

export const idsOf = (all: readonly { id: string }[]): string[] => all.map(({ id }) => id)

/** Whether a promise has settled, and after how long. */
export function watch<T>(promise: Promise<T>) {
  const state: { settled: boolean; afterMs: number } = { settled: false, afterMs: 0 }
  const from = performance.now()
  const settle = () => {
    state.settled = true
    state.afterMs = machineMs(from)
  }
  promise.then(settle, settle)
  return state
}

/** Tells the waiting lines of the wakes that scripts publish, as a server does. */
export async function hearWakes(w: ScriptWorld, leases: Pick<RedisLeases, 'wake'>): Promise<void> {
  const connection = connect(parseRedisUrl(inject('redisUrl')))
  onTestFinished(() => connection.close())
  await connection.waitUntilReady(60_000)
  listenForWakes(connection, w.namespace, {
    onWake: (shard, inMs, lane) => leases.wake(shard, inMs, lane),
    onHelp: () => undefined,
    onPauses: () => undefined,
    onGap: () => undefined,
  })
  // On a cluster it subscribes to any of the nodes.
  const nodes = w.client instanceof Cluster ? w.client.nodes('master') : [w.client]
  await until('it listens', async () => {
    const replies = await Promise.all(
      nodes.map((node) => node.call('PUBSUB', 'NUMSUB', `${w.namespace}:wake`)),
    )
    return replies.some((reply) => Number((reply as [string, number])[1]) === 1)
  })
}
