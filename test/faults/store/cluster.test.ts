import { afterAll, beforeAll } from 'vitest'
import { describeDeadLetters } from '../../contract/dead-letters.contract.ts'
import { describeLanes } from '../../contract/lanes.contract.ts'
import { describeMessageScripts } from '../../contract/messages.contract.ts'
import { describeReleases } from '../../contract/releases.contract.ts'
import { describeScripts } from '../../contract/scripts.contract.ts'
import { describeStreams } from '../../contract/streams.contract.ts'
import { startCluster } from '../../support/redis.ts'

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
