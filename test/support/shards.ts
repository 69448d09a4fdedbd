import { createShardMap, type ShardMap } from '../../src/shards/shard-map.ts'
import type { ShardCount } from '../../src/store/scripts/shard-counts.ts'

/** A map of shards that are all in use, after a raise from fewer. */
export function shardMapOf(shards: number, before: readonly number[] = []): ShardMap {
  const shardMap = createShardMap(shards, Date.now)
  const counts = [...before, shards].map((count): ShardCount => ({ count, from: 0 }))
  shardMap.record({ now: Date.now(), counts })
  return shardMap
}

/** Raises the number of shards in a map. The new ones are in use at once. */
export function raise(shardMap: ShardMap, from: number, to: number): void {
  const counts = [from, to].map((count): ShardCount => ({ count, from: 0 }))
  shardMap.record({ now: Date.now(), counts })
}
