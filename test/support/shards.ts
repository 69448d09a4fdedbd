import { createShardBook, type ShardBook } from '../../src/shards/shard-map.ts'
import type { ShardCount } from '../../src/store/scripts/shard-counts.ts'

/** A book of so many shards, all in use, after fewer of them before. */
export function bookOf(shards: number, before: readonly number[] = []): ShardBook {
  const shardBook = createShardBook(shards, Date.now)
  const counts = [...before, shards].map((count): ShardCount => ({ count, from: 0 }))
  shardBook.record({ now: Date.now(), counts })
  return shardBook
}

/** Raises the number of shards in a book; the new ones are in use at once. */
export function raise(shardBook: ShardBook, from: number, to: number): void {
  const counts = [from, to].map((count): ShardCount => ({ count, from: 0 }))
  shardBook.record({ now: Date.now(), counts })
}
