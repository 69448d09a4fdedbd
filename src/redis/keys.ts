/** The names of one shard's keys. They share a hash tag and so one Redis Cluster slot. */
export interface ShardKeys {
  /** sorted set: message id, scored by due time in ms */
  readonly scheduled: string
  /** sorted set: message id, scored by the time its lock expires */
  readonly claimed: string
  /** hash: message id to record */
  readonly messages: string
  /** hash: message id to its failures and recoveries, only for those that had one */
  readonly attempts: string
  /** string with TTL, one per claimed message: this prefix and its id; holds the claim's token */
  readonly lockPrefix: string
}

export function keysOf(shard: number, namespace: string): ShardKeys {
  const at = `{${namespace}:${shard}}:`
  return {
    scheduled: `${at}scheduled_messages`,
    claimed: `${at}claimed_messages`,
    messages: `${at}messages`,
    attempts: `${at}attempts`,
    lockPrefix: `${at}lock:`,
  }
}

/** The channel on which scripts tell sleeping servers of a sooner message: `<shard> <in ms>`. */
export const wakeChannelOf = (namespace: string): string => `${namespace}:wake`

/** string: how many shards this scheduler has; it never shrinks. */
export const shardCountKeyOf = (namespace: string): string => `${namespace}:shards`
