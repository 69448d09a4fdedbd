import { afterAll, beforeAll } from 'vitest'
import { startCluster } from '../support/redis.ts'
import { describeMessageScripts } from './message-promises.ts'
import { describeScripts } from './script-promises.ts'

let cluster: Awaited<ReturnType<typeof startCluster>>
beforeAll(async () => {
  cluster = await startCluster()
})
afterAll(() => cluster.stop())

// Shards whose slots lie on different masters.
for (const shard of [0, 1, 2]) {
  describeScripts(`a cluster of three masters, shard ${shard}`, () => cluster.url, shard)
  describeMessageScripts(`a cluster of three masters, shard ${shard}`, () => cluster.url, shard)
}
