const FIRST_REST_MS = 1_000
const LONGEST_REST_MS = 8_000

/** Which shard takes the next batch: each in turn, but for those that failed lately. */
export interface ShardTurns {
  /** @returns any one where none is well */
  next(): number
  /** @returns whether there is another that is well */
  hasOther(shard: number): boolean
  /** It gets no batch for a while, longer each time in a row. */
  failed(shard: number): void
  works(shard: number): void
}

/** @param count how many shards new messages go to at present */
export function createShardTurns(count: () => number): ShardTurns {
  const resting = new Map<number, { until: number; restMs: number }>()
  let last = Math.floor(Math.random() * count())

  const isWell = (shard: number) => {
    const rest = resting.get(shard)
    return rest === undefined || rest.until <= performance.now()
  }

  return {
    next() {
      const shards = count()
      for (let step = 1; step <= shards; step += 1) {
        const shard = (last + step) % shards
        if (!isWell(shard)) continue
        last = shard
        return shard
      }
      last = (last + 1) % shards
      return last
    },
    hasOther(shard) {
      const shards = count()
      if (resting.size === 0) return shards > 1
      return Array.from({ length: shards }, (_, other) => other).some(
        (other) => other !== shard && isWell(other),
      )
    },
    failed(shard) {
      // Calls that were under way together fail together.
      if (!isWell(shard)) return
      const before = resting.get(shard)?.restMs ?? FIRST_REST_MS / 2
      const restMs = Math.min(before * 2, LONGEST_REST_MS)
      resting.set(shard, { until: performance.now() + restMs, restMs })
    },
    works: (shard) => void resting.delete(shard),
  }
}
