/** The names of one shard's keys. They share a hash tag and so one Redis Cluster slot. */
export interface ShardKeys {
  /** sorted set: message id, scored by due time in ms; with `:` and a lane behind it, that of the lane */
  readonly scheduled: string
  /** sorted set: message id, scored by due time in ms; those for streams, see lua/lib/lanes.lua */
  readonly forStreams: string
  /**
   * sorted set: id of every scheduled message for a webhook host or a pull queue, and of every one that is set aside
   * while a tag is paused, scored by due time in ms
   */
  readonly laned: string
  /** sorted set: the lanes of webhook hosts that hold messages, scored by the due time of their first */
  readonly hosts: string
  /** sorted set: the lanes of pull queues that hold messages, scored by the due time of their first */
  readonly queues: string
  /** sorted set: message id, scored by the time its lock expires */
  readonly claimed: string
  /** sorted set: message id, scored by the time it became a dead letter */
  readonly dead: string
  /** hash: message id to record */
  readonly messages: string
  /** hash: message id to its failures and recoveries, only for those that had one */
  readonly attempts: string
  /** hash: message id to its last failures and its reason */
  readonly failures: string
  /** string: the number of claims so far, from which each gets its own */
  readonly claims: string
  /** string: the latest time at which there was a claim; see lua/lib/clock-step.lua */
  readonly clock: string
  /** hash: what is paused, a copy of the list of the namespace; see lua/lib/pauses.lua */
  readonly pauses: string
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
  /** hash: message id to what the history says of a cancelled message */
  readonly cancellations: string
  /** sorted set: message id, scored by the time it was cancelled; what the history holds of these */
  readonly cancelled: string
  /** string with TTL: this prefix and a finished client-made id; holds its status and fingerprint */
  readonly seenPrefix: string
  /**
   * string with TTL: this prefix and the token of a schedule call, `<server id>:<number>`; holds the call's answer for
   * its copies, until none can run any more (about 5 s)
   */
  readonly callPrefix: string
  /** string with TTL: this prefix and an operation's id; what its latest step in this shard answered */
  readonly stepPrefix: string
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
    pauses: `${at}pauses`,
    streams: `${at}streams`,
    streamPrefix: `${at}stream:`,
    lockPrefix: `${at}lock:`,
    tagPrefix: `${at}tag:`,
    history: `${at}history`,
    delivered: `${at}delivered_messages`,
    dropped: `${at}dropped_messages`,
    cancellations: `${at}cancellations`,
    cancelled: `${at}cancelled_messages`,
    seenPrefix: `${at}seen:`,
    callPrefix: `${at}call:`,
    stepPrefix: `${at}operation_step:`,
  }
}

/**
 * A key that never exists, in the slot of `key`. A call that also names this key is rejected by a Redis Cluster while
 * the slot is moved: a node runs a call only if it has all of its keys.
 */
export const guardKeyOf = (key: string): string =>
  key.startsWith('{') ? `${key.slice(0, key.indexOf('}') + 1)}:guard` : `{${key}}:guard`

/** Where messages of a webhook host or a pull queue wait; see lua/lib/lanes.lua. */
export const laneOfQueue = (queue: string): string => `pull:${queue}`

/**
 * The channel on which scripts wake sleeping servers: `<shard> <in ms> <lane>` for an earlier message, `help <shard>`
 * if more is due than one claim takes, and `pauses <shard>` when what is paused has changed there. Also `events wanted`
 * for a new listener, and `events written`.
 */
export const wakeChannelOf = (namespace: string): string => `${namespace}:wake`

/** string: every number of shards so far, and since when; see lua/service/shards.lua. */
export const shardCountsKeyOf = (namespace: string): string => `${namespace}:shards`

/**
 * string: a random text, made with the first number of shards, by which a server recognizes its data. It shares the
 * slot of the number of shards.
 */
export const dataIdKeyOf = (namespace: string): string => `{${shardCountsKeyOf(namespace)}}:data_id`

/** hash: target to what is known of its pause, as JSON; and a revision. See lua/pauses/pauses.lua. */
export const pausesKeyOf = (namespace: string): string => `${namespace}:pauses`
/** sorted set: pull queue, scored by when it was last asked for messages, in ms, to 10 s. */
export const askedQueuesKeyOf = (namespace: string): string => `${namespace}:asked_queues`

/** hash with TTL: what each server has delivered in a minute, counted since 1970; see src/traffic/. */
export const trafficKeyOf = (namespace: string, minute: number): string => `${namespace}:traffic:${minute}`

/** stream: what happened lately; see lua/events/append-events.lua. */
export const eventsKeyOf = (namespace: string): string => `${namespace}:events`

/** hash: server id to its last heartbeat and its description. */
export const serversKeyOf = (namespace: string): string => `${namespace}:servers`

/** sorted set: operation id, scored by when it began. The keys of operations share a slot. */
export const operationsKeyOf = (namespace: string): string => `${namespace}:operations`

/** sorted set: id of a running operation, scored by when the lease of its server ends. */
export const runningKeyOf = (namespace: string): string => `{${operationsKeyOf(namespace)}}:running`

/** hash: this prefix and an operation's id; see src/store/scripts/operations.ts. */
export const operationPrefixOf = (namespace: string): string => `{${operationsKeyOf(namespace)}}:id:`

/** sorted set: what people did, scored by when. */
export const actsKeyOf = (namespace: string): string => `${namespace}:audit`

/** The keys of a namespace that are of no shard, but for those of single operations. */
export const namespaceKeysOf = (namespace: string): string[] =>
  [
    ...[shardCountsKeyOf, dataIdKeyOf, serversKeyOf, pausesKeyOf, eventsKeyOf],
    ...[operationsKeyOf, runningKeyOf, actsKeyOf, askedQueuesKeyOf],
  ]
    .map((keyOf) => keyOf(namespace))
    .concat(Object.values(testClockKeysOf(namespace)))

/** The keys of the test clock, in one slot; absent without TEST_CLOCK. */
export interface TestClockKeys {
  /** string: what it shows, and since when; see lua/clock/set-clock.lua */
  readonly testClock: string
  /** string with TTL: the token of the act that is changing it */
  readonly clockAct: string
  /** hash: server id to the version of the clock that it goes by */
  readonly clockTaken: string
  /** hash: what became of messages during an advance */
  readonly clockOutcomes: string
}

export function testClockKeysOf(namespace: string): TestClockKeys {
  const testClock = `${namespace}:test_clock`
  return {
    testClock,
    clockAct: `{${testClock}}:act`,
    clockTaken: `{${testClock}}:taken`,
    clockOutcomes: `{${testClock}}:outcomes`,
  }
}
