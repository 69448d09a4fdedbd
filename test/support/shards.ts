import { createShardMap, type ShardMap } from '../../src/shards/shard-map.ts'
import type { ShardCount } from '../../src/store/scripts/shard-counts.ts'

/** A book of so many shards, all in use, after fewer of them before. */
export function shardMapOf(shards: number, before: readonly number[] = []): ShardMap {
  const shardMap = createShardMap(shards, Date.now)
  const counts = [...before, shards].map((count): ShardCount => ({ count, from: 0 }))
  shardMap.record({ now: Date.now(), counts })
  return shardMap
}

/** Raises the number of shards in a book; the new ones are in use at once. */
export function raise(shardMap: ShardMap, from: number, to: number): void {
  const counts = [from, to].map((count): ShardCount => ({ count, from: 0 }))
  shardMap.record({ now: Date.now(), counts })
}
