import type { ShardCount } from '../../src/redis/shard-counts.ts'
import { createShardBook, type ShardBook } from '../../src/schedule/shard-book.ts'

/** A book of so many shards, all in use, after fewer of them before. */
export function bookOf(shards: number, before: readonly number[] = []): ShardBook {
  const shardBook = createShardBook(shards, Date.now)
  const counts = [...before, shards].map((count): ShardCount => ({ count, from: 0 }))
  shardBook.record({ now: Date.now(), counts })
  return shardBook
}
