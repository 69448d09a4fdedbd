import { describe, expect, it } from 'vitest'
import { createReasons } from '../../../src/reasons/reasons.ts'
import { encodeRecordBody } from '../../../src/records/record.ts'
import { connect } from '../../../src/store/connect.ts'
import { parseRedisUrl } from '../../../src/store/redis-url.ts'
import { createScripts } from '../../../src/store/scripts/scripts.ts'
import { freshCall } from '../../support/fresh-call.ts'
import { startRedis } from '../../support/redis.ts'
import { SETTINGS } from '../../support/retention.ts'
import { shardMapOf } from '../../support/shards.ts'
import { slowestOf } from '../../support/speed.ts'

const LANES = 1_000
const PER_LANE = 100
const SHARDS = 4
const WITHIN_MS = 100
/** What no command may take, ms. */
const PROBE_TIMEOUT_MS = 10

describe('100,000 overdue messages in 1,000 lanes', () => {
  it('are told by lane within 100 ms, and no call takes longer than 10 ms', async () => {
    const redis = await startRedis({ args: ['--appendonly', 'no'] })
    const connection = connect(parseRedisUrl(redis.url))
    try {
      await connection.waitUntilReady(60_000)
      const scripts = createScripts(connection.client, { ...SETTINGS, namespace: 'carillon' })
      for (let lane = 0; lane < LANES; lane += 1) {
        const destination =
          lane % 2 === 0
            ? { type: 'webhook', url: `http://host-${lane}.example.com/` }
            : { type: 'pull', queue: `queue-${lane}` }
        const body = encodeRecordBody('1', { destination })
        const entries = Array.from({ length: PER_LANE }, (_, i) => ({
          ...{ id: `m${lane}-${i}`, due: { at: 1_000 + lane }, rule: 'any' as const, body },
        }))
        await scripts.schedule(lane % SHARDS, entries, freshCall())
      }
      const reasons = createReasons({
        ...{ scripts, shardMap: shardMapOf(SHARDS), servers: async () => [], workerHeardAt: () => null },
        ...{ pausedBy: () => undefined, pauses: () => [], perSecond: async () => null },
        ...{ history: { max: 0, ttlMs: 0 }, now: Date.now },
      })
      await redis.client.config('RESETSTAT')
      const { late, total } = await reasons.late()
      expect([late.length, total]).toEqual([200, LANES * PER_LANE])
      expect(late.map(({ count }) => count)).toEqual(late.map(() => PER_LANE))
      expect(late.map(({ oldest }) => oldest)).toEqual(Array.from({ length: 200 }, (_, i) => 1_000 + i))
      expect(await slowestOf(() => reasons.late(), 10)).toBeLessThan(WITHIN_MS)
      const stats = await redis.client.info('latencystats')
      const [, slowest] = /percentiles_usec_evalsha:.*p99=([\d.]+)/.exec(stats) ?? []
      expect(Number(slowest) / 1_000).toBeLessThan(PROBE_TIMEOUT_MS)
    } finally {
      await connection.close()
      await redis.stop()
    }
  })
})
