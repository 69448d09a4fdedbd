import type { RedisClock } from '../store/redis-clock.ts'
import { requireAllShards } from '../store/requirements.ts'
import type { RaiseShards } from '../store/scripts/shard-counts.ts'
import type { ShardMap } from './shard-map.ts'

const SYNC_EVERY_MS = 2_500

/** Keeps a shard book in step with Redis, so that a number raised by one server is heard of by all. */
export interface ShardSync {
  /**
   * Raises the number in Redis to what this server was started with or has heard of, and hears of a larger one.
   *
   * @throws UnsupportedRedisError the first time, if this server was started with fewer than there are
   * @throws SchedulerError STORE_UNAVAILABLE
   */
  sync(): Promise<void>
  /** Looks again and again. Twice is once. */
  start(): void
  /** Safe before start and twice. */
  stop(): void
}

export interface ShardSyncDeps {
  readonly raise: RaiseShards
  readonly shardMap: ShardMap
  readonly clock: RedisClock
  /** told when Redis holds other data than before, or none of them */
  readonly onDataReplaced?: () => void
}

export function createShardSync({ raise, shardMap, clock, onDataReplaced }: ShardSyncDeps): ShardSync {
  let timer: NodeJS.Timeout | undefined

  async function sync(): Promise<void> {
    const recorded = await raise(shardMap.all)
    if (recorded.dataReplaced) onDataReplaced?.()
    if (!shardMap.isRecorded) requireAllShards(recorded.counts, shardMap.all)
    clock.observe(recorded.now)
    shardMap.record(recorded)
  }

  return {
    sync,
    start() {
      // The next read makes up for a failed one. Others log that Redis is away.
      timer ??= setInterval(() => void sync().catch(() => undefined), SYNC_EVERY_MS)
    },
    stop() {
      clearInterval(timer)
      timer = undefined
    },
  }
}
