import type { MessageScripts } from '../redis/message-scripts.ts'

export interface Bucket {
  /** epoch ms */
  readonly at: number
  readonly count: number
}

export interface Totals {
  readonly scheduled: number
  readonly claimed: number
  readonly dead: number
  readonly oldestOverdueMs: number
}

/** The load ahead: how many messages fall due in each span, over all shards. @see lua/forecast.lua */
export async function forecast(
  scripts: Pick<MessageScripts, 'forecast'>,
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

/** Counts by state, over all shards. @see lua/count.lua */
export async function totals(scripts: Pick<MessageScripts, 'count'>, shards: number): Promise<Totals> {
  const counts = await Promise.all(Array.from({ length: shards }, (_, shard) => scripts.count(shard)))
  return {
    scheduled: counts.reduce((sum, { scheduled }) => sum + scheduled, 0),
    claimed: counts.reduce((sum, { claimed }) => sum + claimed, 0),
    dead: counts.reduce((sum, { dead }) => sum + dead, 0),
    oldestOverdueMs: Math.max(...counts.map(({ overdueMs }) => overdueMs)),
  }
}
