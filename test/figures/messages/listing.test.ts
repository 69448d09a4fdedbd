import { describe, expect, it } from 'vitest'
import { listPage, type Position } from '../../../src/messages/listing.ts'
import { encodeRecordBody } from '../../../src/records/record.ts'
import { createShardMap } from '../../../src/shards/shard-map.ts'
import { connect } from '../../../src/store/connect.ts'
import { parseRedisUrl } from '../../../src/store/redis-url.ts'
import { createScripts } from '../../../src/store/scripts/scripts.ts'
import { freshCall } from '../../support/fresh-call.ts'
import { startRedis } from '../../support/redis.ts'
import { SETTINGS } from '../../support/retention.ts'

const COUNT = 1_000_000
const PER_CALL = 5_000
/** What no command may take, ms. */
const PROBE_TIMEOUT_MS = 10

describe('a million messages', () => {
  it('are listed page by page, each once, in order, and no call takes longer than 10 ms', async () => {
    // Kept in memory: what is measured is the listing, and the filling should not take long.
    const redis = await startRedis({ args: ['--appendonly', 'no'] })
    const connection = connect(parseRedisUrl(redis.url))
    try {
      await connection.waitUntilReady(60_000)
      const options = { ...SETTINGS, namespace: 'carillon' }
      const scripts = createScripts(connection.client, options)
      const body = encodeRecordBody(JSON.stringify('x'.repeat(60)))
      const start = Date.now() + 3_600_000
      for (let first = 0; first < COUNT; first += PER_CALL) {
        const entries = Array.from({ length: PER_CALL }, (_, i) => {
          // A tenth of them share one millisecond.
          const at = (first + i) % 10 === 0 ? start : start + (((first + i) * 7_919) % COUNT)
          return { id: `m${first + i}`, due: { at }, rule: 'any' as const, body }
        })
        await scripts.schedule(0, entries, freshCall())
      }
      await redis.client.config('RESETSTAT')

      const seen = new Set<string>()
      let latest = 0
      const shardMap = createShardMap(1, Date.now)
      let after: Position | null = null
      do {
        const query = { filter: {}, direction: 'up', limit: 1_000, after } as const
        const page = await listPage({ scripts, shardMap, now: Date.now }, query)
        for (const message of page.messages) {
          seen.add(message.id)
          const dueAt = 'dueAt' in message ? message.dueAt : Number.NaN
          if (!(dueAt >= latest)) throw new Error(`${message.id} is listed after a later one`)
          latest = dueAt
        }
        after = page.end
      } while (after !== null)
      expect(seen.size).toBe(COUNT)
      // The slowest one in a hundred is left to a busy machine, which may suspend Redis in mid-command.
      const stats = await redis.client.info('latencystats')
      const [, slowest] = /percentiles_usec_evalsha:.*p99=([\d.]+)/.exec(stats) ?? []
      expect(Number(slowest) / 1_000).toBeLessThan(PROBE_TIMEOUT_MS)
    } finally {
      await connection.close()
      await redis.stop()
    }
  })
})
