import { withinTime } from '../runtime/time-limit.ts'

const FIRST_REST_MS = 500
const LONGEST_REST_MS = 2_000
/** A shard that has not answered for so long may be on a master that hangs. */
export const SLOW_MS = 300

/** Which shard takes the next batch: each in turn, but for those that failed lately. */
export interface ShardTurns {
  /** @returns any one where none is well */
  next(): number
  isWell(shard: number): boolean
  /** @returns whether there is another that is well */
  hasOther(shard: number): boolean
  /** It gets no batch until a probe of it has succeeded; and the others are probed at once, as they may share its fate. */
  failed(shard: number): void
  works(shard: number): void
}

interface Rest {
  readonly until: number
  readonly restMs: number
}

/**
 * @param count how many shards new messages go to at present
 * @param probe asks a shard for something that changes nothing; resolves when it answers. A shard that failed is probed
 *   when it has rested and there are messages again, so that none of them has to find out whether it works
 */
export function createShardTurns(
  count: () => number,
  probe: (shard: number) => Promise<unknown>,
): ShardTurns {
  const resting = new Map<number, Rest>()
  const probed = new Set<number>()
  let last = Math.floor(Math.random() * count())

  const works = (shard: number) => void resting.delete(shard)

  /** It gets no batch for a while, longer each time in a row. */
  function rest(shard: number): void {
    const before = resting.get(shard)?.restMs ?? FIRST_REST_MS / 2
    const restMs = Math.min(before * 2, LONGEST_REST_MS)
    resting.set(shard, { until: performance.now() + restMs, restMs })
  }

  function look(shard: number): void {
    if (probed.has(shard)) return
    probed.add(shard)
    withinTime(probe(shard), SLOW_MS)
      .then(
        () => works(shard),
        () => rest(shard),
      )
      .finally(() => probed.delete(shard))
  }

  function lookAtRested(): void {
    for (const [shard, { until }] of resting) {
      if (until <= performance.now()) look(shard)
    }
  }

  return {
    next() {
      const shards = count()
      if (resting.size > 0) lookAtRested()
      for (let step = 1; step <= shards; step += 1) {
        const shard = (last + step) % shards
        if (resting.has(shard)) continue
        last = shard
        return shard
      }
      last = (last + 1) % shards
      return last
    },
    isWell: (shard) => !resting.has(shard),
    hasOther(shard) {
      const shards = count()
      if (resting.size === 0) return shards > 1
      return Array.from({ length: shards }, (_, other) => other).some(
        (other) => other !== shard && !resting.has(other),
      )
    },
    failed(shard) {
      // Calls that were under way together fail together.
      if (resting.has(shard)) return
      rest(shard)
      for (let other = 0; other < count(); other += 1) {
        if (!resting.has(other)) look(other)
      }
    },
    works,
  }
}
