/** The names of one shard's keys. They share a hash tag and so one Redis Cluster slot. */
export interface ShardKeys {
  /** sorted set: message id, scored by due time in ms */
  readonly scheduled: string
  /** sorted set: message id, scored by the time its lock expires */
  readonly claimed: string
  /** sorted set: message id, scored by the time it was given up */
  readonly dead: string
  /** hash: message id to record */
  readonly messages: string
  /** hash: message id to its failures and recoveries, only for those that had one */
  readonly attempts: string
  /** string with TTL, one per claimed message: this prefix and its id; holds the claim's token */
  readonly lockPrefix: string
  /** sorted set per tag: this prefix and the tag; scheduled and claimed ids, scored by when they are due */
  readonly tagPrefix: string
  /** hash: message id to what became of it */
  readonly history: string
  /** sorted set: message id, scored by the time it was delivered; what the history holds of these */
  readonly delivered: string
  /** sorted set: message id, scored by the time it was dropped; what the history holds of these */
  readonly dropped: string
  /** string with TTL: this prefix and a finished client-made id; holds its status and fingerprint */
  readonly seenPrefix: string
}

export function keysOf(shard: number, namespace: string): ShardKeys {
  const at = `{${namespace}:${shard}}:`
  return {
    scheduled: `${at}scheduled_messages`,
    claimed: `${at}claimed_messages`,
    dead: `${at}dead_messages`,
    messages: `${at}messages`,
    attempts: `${at}attempts`,
    lockPrefix: `${at}lock:`,
    tagPrefix: `${at}tag:`,
    history: `${at}history`,
    delivered: `${at}delivered_messages`,
    dropped: `${at}dropped_messages`,
    seenPrefix: `${at}seen:`,
  }
}

/** The channel on which scripts tell sleeping servers of a sooner message: `<shard> <in ms>`. */
export const wakeChannelOf = (namespace: string): string => `${namespace}:wake`

/** string: every number of shards this scheduler has had, oldest first, comma-separated; it only grows. */
export const shardCountKeyOf = (namespace: string): string => `${namespace}:shards`

/** hash: server id to when it was last heard of and what it is. */
export const serversKeyOf = (namespace: string): string => `${namespace}:servers`
