import type { Totals } from '../observability/metrics.ts'
import { fulfilledValues, withTimeout } from '../runtime/time-limit.ts'
import type { QueryScripts } from '../store/scripts/query.ts'

/** A shard that says nothing must not keep those who ask waiting for what the others say. */
const EACH_SHARD_WITHIN_MS = 600

export interface Bucket {
  /** epoch ms */
  readonly at: number
  readonly count: number
}

/** The load ahead: how many messages fall due in each span, over all shards. @see lua/query/forecast.lua */
export async function forecast(
  scripts: Pick<QueryScripts, 'forecast'>,
  shards: number,
  args: { from: number; to: number; bucketMs: number },
): Promise<Bucket[]> {
  const counts = await Promise.all(
    Array.from({ length: shards }, (_, shard) => scripts.forecast(shard, args)),
  )
  return Array.from({ length: Math.ceil((args.to - args.from) / args.bucketMs) }, (_, i) => ({
    at: args.from + i * args.bucketMs,
    count: counts.reduce((sum, ofShard) => sum + (ofShard[i] ?? 0), 0),
  }))
}

/** @param fullLanes lanes of hosts that are full @returns counts by state, over all shards @see lua/query/count.lua */
export async function totals(
  scripts: Pick<QueryScripts, 'count'>,
  shards: number,
  fullLanes: readonly string[] = [],
): Promise<Totals> {
  const counts = await Promise.all(
    Array.from({ length: shards }, (_, shard) => scripts.count(shard, fullLanes)),
  )
  return {
    scheduled: counts.reduce((sum, { scheduled }) => sum + scheduled, 0),
    claimed: counts.reduce((sum, { claimed }) => sum + claimed, 0),
    dead: counts.reduce((sum, { dead }) => sum + dead, 0),
    stranded: counts.reduce((sum, { stranded }) => sum + stranded, 0),
    paused: counts.reduce((sum, { paused }) => sum + paused, 0),
    oldestOverdueMs: Math.max(...counts.map(({ overdueMs }) => overdueMs)),
    oldestLateMs: Math.max(...counts.map(({ lateMs }) => lateMs)),
  }
}

/**
 * How long the oldest overdue message has waited, in the shards that answer: no server can deliver from a lost master.
 *
 * @throws SchedulerError when no shard answers
 */
export async function oldestLateMs(
  scripts: Pick<QueryScripts, 'count'>,
  shards: number,
  fullLanes: readonly string[],
): Promise<number> {
  const calls = Array.from({ length: shards }, (_, shard) =>
    withTimeout(scripts.count(shard, fullLanes), EACH_SHARD_WITHIN_MS),
  )
  return Math.max(...(await fulfilledValues(calls)).map(({ lateMs }) => lateMs))
}

/** The streams there are, with the keys that a consumer reads: one for each shard. */
export async function streams(
  scripts: Pick<QueryScripts, 'streams'>,
  shards: number,
  keyOf: (shard: number, name: string) => string,
): Promise<{ name: string; keys: string[] }[]> {
  const everyShard = Array.from({ length: shards }, (_, shard) => shard)
  const names = await Promise.all(everyShard.map((shard) => scripts.streams(shard)))
  return [...new Set(names.flat())]
    .sort()
    .map((name) => ({ name, keys: everyShard.map((shard) => keyOf(shard, name)) }))
}
