import { parseServerMadeId, shardOfClientId } from '../message-id.ts'

/** Knows in which shards a message may lie. */
export interface ShardBook {
  /** how many shards there are */
  readonly shards: number
  /** Takes over every number of shards that this scheduler has had, as Redis has recorded them. */
  record(counts: readonly number[]): void
  /**
   * @returns the shard a message is in: for a server-made id the one it names, for a client-made one that of its
   *   hash, followed by those it had while there were fewer shards, newest first
   */
  shardsOf(id: string): readonly number[]
}

export function createShardBook(shards: number): ShardBook {
  let newestFirst: readonly number[] = [shards]
  return {
    shards,
    record(counts) {
      newestFirst = [...new Set([shards, ...counts])].sort((a, b) => b - a)
    },
    shardsOf(id) {
      const made = parseServerMadeId(id)
      if (made !== undefined) return made.shard < shards ? [made.shard] : []
      return [...new Set(newestFirst.map((count) => shardOfClientId(id, count)))]
    },
  }
}
