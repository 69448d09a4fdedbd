import type { RedisClock } from '../store/redis-clock.ts'
import { refuseFewerShards } from '../store/requirements.ts'
import type { RaiseShards } from '../store/scripts/shard-counts.ts'
import type { ShardBook } from './shard-map.ts'

const LOOK_EVERY_MS = 2_500

/** Keeps a shard book in step with Redis, so that a number raised by one server is heard of by all. */
export interface ShardWatch {
  /**
   * Raises the number in Redis to what this server was started with or has heard of, and hears of a larger one.
   *
   * @throws UnfitRedisError the first time, if this server was started with fewer than there are
   * @throws SchedulerError STORE_UNAVAILABLE
   */
  look(): Promise<void>
  /** Looks again and again. Twice is once. */
  start(): void
  /** Safe before start and twice. */
  stop(): void
}

export interface ShardWatchDeps {
  readonly raise: RaiseShards
  readonly shardBook: ShardBook
  readonly clock: RedisClock
  /** told when Redis holds other data than before, or none of them */
  readonly onOtherData?: () => void
}

export function createShardWatch({ raise, shardBook, clock, onOtherData }: ShardWatchDeps): ShardWatch {
  let timer: NodeJS.Timeout | undefined

  async function look(): Promise<void> {
    const recorded = await raise(shardBook.all)
    if (recorded.areOthers) onOtherData?.()
    if (!shardBook.isRecorded) refuseFewerShards(recorded.counts, shardBook.all)
    clock.observe(recorded.now)
    shardBook.record(recorded)
  }

  return {
    look,
    start() {
      // One that fails is made good by the next; that Redis is away others have logged.
      timer ??= setInterval(() => void look().catch(() => undefined), LOOK_EVERY_MS)
    },
    stop() {
      clearInterval(timer)
      timer = undefined
    },
  }
}
