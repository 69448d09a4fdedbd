import { GenericContainer, Wait } from 'testcontainers'
import type { TestProject } from 'vitest/node'
import { findRedisServer } from '../../src/setup/redis-server.js'
import { engineAnswers } from './engine.ts'
import { startRedis } from './redis.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** the Redis all tests share, each in a namespace of its own */
    redisUrl: string
    /** the redis-server that tests start which have to kill one */
    redisServer: string
  }
}

const IMAGE = 'redis:8'
const PORT = 6379

/** The shared Redis: REDIS_URL if given, else a container where an engine answers, else a child process. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const redisServer = await findRedisServer({ cacheDir: '.cache', log: console.log })
  project.provide('redisServer', redisServer)
  const { url, from, stop } = await sharedRedis(redisServer)
  console.log(`tests share ${from}`)
  project.provide('redisUrl', url)
  return stop
}

async function sharedRedis(redisServer: string) {
  if (process.env.REDIS_URL) {
    return { url: process.env.REDIS_URL, from: 'the Redis of REDIS_URL', stop: async () => {} }
  }
  if (await engineAnswers()) {
    const container = await new GenericContainer(IMAGE)
      .withCommand(['redis-server', '--appendonly', 'yes', '--appendfsync', 'always', '--save', ''])
      .withExposedPorts(PORT)
      .withWaitStrategy(Wait.forLogMessage('Ready to accept connections'))
      .start()
    const url = `redis://${container.getHost()}:${container.getMappedPort(PORT)}`
    return { url, from: `a container of ${IMAGE}`, stop: async () => void (await container.stop()) }
  }
  const redis = await startRedis({ redisServer })
  return { url: redis.url, from: `a child process of ${redisServer}`, stop: redis.stop }
}
