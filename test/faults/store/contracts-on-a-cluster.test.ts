import { afterAll, beforeAll } from 'vitest'
import { CLAIMS } from '../../contract/all-claims.ts'
import { MESSAGES } from '../../contract/all-messages.ts'
import { startCluster } from '../../support/redis.ts'

let cluster: Awaited<ReturnType<typeof startCluster>>
beforeAll(async () => {
  cluster = await startCluster()
})
afterAll(() => cluster.stop())

// In turn in shards whose slots lie on different masters.
for (const [i, describeContract] of [...CLAIMS, ...MESSAGES].entries()) {
  describeContract('a cluster of three masters', () => cluster.url, i % 3)
}
