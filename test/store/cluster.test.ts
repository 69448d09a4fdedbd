import { afterAll, beforeAll } from 'vitest'
import { startCluster } from '../support/redis.ts'
import { describeDeadLetters } from './dead-promises.ts'
import { describeLanes } from './lane-promises.ts'
import { describeMessageScripts } from './message-promises.ts'
import { describeReleases } from './release-promises.ts'
import { describeScripts } from './script-promises.ts'
import { describeStreams } from './stream-promises.ts'

let cluster: Awaited<ReturnType<typeof startCluster>>
beforeAll(async () => {
  cluster = await startCluster()
})
afterAll(() => cluster.stop())

// Shards whose slots lie on different masters.
describeScripts('a cluster of three masters', () => cluster.url, 0)
describeMessageScripts('a cluster of three masters', () => cluster.url, 1)
describeLanes('a cluster of three masters', () => cluster.url, 2)
describeReleases('a cluster of three masters', () => cluster.url, 1)
describeDeadLetters('a cluster of three masters', () => cluster.url, 2)
describeStreams('a cluster of three masters', () => cluster.url, 0)
