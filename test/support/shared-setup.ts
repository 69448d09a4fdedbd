import type { TestProject } from 'vitest/node'
import { startCluster, startRedis } from './redis.ts'
import { type RedisKind, readRedisKind } from './redis-kind.ts'
import { startSentinels } from './sentinels.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** the Redis that tests share, each in its own namespace */
    redisUrl: string
  }
}

interface SharedRedis {
  readonly url: string
  /** a description for the log */
  readonly from: string
  stop(): Promise<void>
}

/** The shared Redis: of the kind in CARILLON_TEST_REDIS, else the one of REDIS_URL, else the server that is found. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const kind = readRedisKind(process.env.CARILLON_TEST_REDIS)
  const { url, from, stop } = await startShared(kind, project.getProvidedContext().redisServer)
  console.log(`tests share ${from}`)
  project.provide('redisUrl', url)
  return stop
}

async function startShared(kind: RedisKind, redisServer: string): Promise<SharedRedis> {
  if (kind === 'cluster') {
    // A pause of a busy machine must not count as the end of a master.
    const cluster = await startCluster({ redisServer, args: ['--cluster-node-timeout', '15000'] })
    return { ...cluster, from: `a cluster of three masters, child processes of ${redisServer}` }
  }
  if (kind === 'sentinel') {
    // A pause of a busy machine must not count as the end of a master.
    const sentinels = await startSentinels({ redisServer, downAfterMs: 30_000 })
    return { ...sentinels, from: `a master that three sentinels name, child processes of ${redisServer}` }
  }
  if (kind === 'any' && process.env.REDIS_URL) {
    return { url: process.env.REDIS_URL, from: 'the Redis of REDIS_URL', stop: async () => {} }
  }
  const redis = await startRedis({ redisServer })
  return { ...redis, from: `a child process of ${redisServer}` }
}
