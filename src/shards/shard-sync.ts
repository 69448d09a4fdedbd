import type { RedisClock } from '../store/redis-clock.ts'
import { requireAllShards } from '../store/requirements.ts'
import type { RaiseShards } from '../store/scripts/shard-counts.ts'
import type { ShardMap } from './shard-map.ts'

const SYNC_EVERY_MS = 2_500

/** Keeps a shard map in step with Redis: all servers learn of a number of shards that one server has raised. */
export interface ShardSync {
  /**
   * Raises the number in Redis to the one this server was started with or has learned of, and learns of a larger one.
   *
   * @throws UnsupportedRedisError the first time, if this server was started with fewer than there are
   * @throws SchedulerError STORE_UNAVAILABLE
   */
  sync(): Promise<void>
  /** Repeats sync() from now on. Idempotent. */
  start(): void
  /** Idempotent; may be called before start(). */
  stop(): void
}

export interface ShardSyncDeps {
  readonly raise: RaiseShards
  readonly shardMap: ShardMap
  readonly clock: RedisClock
  /** called when Redis has other data than before, or none */
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
