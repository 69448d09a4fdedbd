/** The names of one shard's keys. They share a hash tag and so one Redis Cluster slot. */
export interface ShardKeys {
  /** sorted set: message id, scored by due time in ms; with `:` and a lane behind it, that of the lane */
  readonly scheduled: string
  /** sorted set: message id, scored by due time in ms; those for streams, see lua/lib/lanes.lua */
  readonly forStreams: string
  /** sorted set: id of every scheduled message for a webhook host or a pull queue, scored by due time in ms */
  readonly laned: string
  /** sorted set: the lanes of webhook hosts that hold messages, scored by the due time of their first */
  readonly hosts: string
  /** sorted set: the lanes of pull queues that hold messages, scored by the due time of their first */
  readonly queues: string
  /** sorted set: message id, scored by the time its lock expires */
  readonly claimed: string
  /** sorted set: message id, scored by the time it was given up */
  readonly dead: string
  /** hash: message id to record */
  readonly messages: string
  /** hash: message id to its failures and recoveries, only for those that had one */
  readonly attempts: string
  /** hash: message id to what went wrong with it, only for those with which something did */
  readonly failures: string
  /** string: the number of claims so far, from which each gets its own */
  readonly claims: string
  /** string: the latest time at which there was a claim; see lua/lib/clock-step.lua */
  readonly clock: string
  /** set: names of streams */
  readonly streams: string
  /** stream: this prefix and its name */
  readonly streamPrefix: string
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
  /**
   * string with TTL: this prefix and the token of a schedule call, `<server id>:<number>`; holds what the call answered,
   * for copies of it, until none can run any more, some 5 s later
   */
  readonly callPrefix: string
}

export function keysOf(shard: number, namespace: string): ShardKeys {
  const at = `{${namespace}:${shard}}:`
  return {
    scheduled: `${at}scheduled_messages`,
    forStreams: `${at}scheduled_messages:stream`,
    laned: `${at}lane_messages`,
    hosts: `${at}hosts`,
    queues: `${at}queues`,
    claimed: `${at}claimed_messages`,
    dead: `${at}dead_messages`,
    messages: `${at}messages`,
    attempts: `${at}attempts`,
    failures: `${at}failures`,
    claims: `${at}claims`,
    clock: `${at}clock`,
    streams: `${at}streams`,
    streamPrefix: `${at}stream:`,
    lockPrefix: `${at}lock:`,
    tagPrefix: `${at}tag:`,
    history: `${at}history`,
    delivered: `${at}delivered_messages`,
    dropped: `${at}dropped_messages`,
    seenPrefix: `${at}seen:`,
    callPrefix: `${at}call:`,
  }
}

/**
 * A key that never exists, in the slot of `key`. A call that names it besides others is refused by a Redis Cluster for as
 * long as that slot is being moved: a node that has not all of a call's keys does not run it.
 */
export const guardKeyOf = (key: string): string =>
  key.startsWith('{') ? `${key.slice(0, key.indexOf('}') + 1)}:guard` : `{${key}}:guard`

/** Where messages that a webhook host or a pull queue may hold back wait; see lua/lib/lanes.lua. */
export const laneOfQueue = (queue: string): string => `pull:${queue}`

/**
 * The channel on which scripts tell sleeping servers of a sooner message, `<shard> <in ms> <lane>`, and of more than one
 * claim takes, `help <shard>`.
 */
export const wakeChannelOf = (namespace: string): string => `${namespace}:wake`

/** string: every number of shards this scheduler has had, and from when on; see lua/cluster/shards.lua. */
export const shardCountsKeyOf = (namespace: string): string => `${namespace}:shards`

/**
 * string: a random text made with the first number of shards, by which a server knows whether these are the data that it
 * has worked with. It shares the slot of the number of shards.
 */
export const dataIdKeyOf = (namespace: string): string => `{${shardCountsKeyOf(namespace)}}:data_id`

/** hash: server id to when it was last heard of and what it is. */
export const serversKeyOf = (namespace: string): string => `${namespace}:servers`
