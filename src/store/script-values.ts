import type { RetryPolicy } from '../domain/message.ts'
import {
  actsKeyOf,
  askedQueuesKeyOf,
  dataIdKeyOf,
  eventsKeyOf,
  keysOf,
  operationPrefixOf,
  operationsKeyOf,
  pausesKeyOf,
  runningKeyOf,
  type ShardKeys,
  serversKeyOf,
  shardCountsKeyOf,
  testClockKeysOf,
  wakeChannelOf,
} from './keys.ts'

export type Argument = string | number

/** What bounds the messages that are no longer scheduled. */
export interface Retention {
  /** history entries kept, over all shards */
  readonly historyMax: number
  readonly historyTtlMs: number
  readonly dedupWindowMs: number
  /** dead letters kept, over all shards */
  readonly deadMax: number
  readonly deadTtlMs: number
}

export interface ScriptsOptions {
  readonly namespace: string
  /** among how many shards historyMax and deadMax are divided at present; 1 unless given */
  readonly shards?: () => number
  readonly retention: Retention
  /** for what messages do not say themselves */
  readonly retry: Required<RetryPolicy>
  /** a claim that expires after so many makes its message a dead letter */
  readonly maxRecoveries: number
  /** by how many ms Redis's clock is moved, or a test clock; see lua/lib/clock.lua */
  readonly clockOffsetMs?: () => Argument
}

/** What scripts take by name without their callers' doing. */
export interface ScriptValues {
  /** a shard's keys and what else stays the same for all its calls */
  readonly ofShard: (shard: number) => Readonly<Record<string, Argument>>
  /** what is read at every call */
  readonly current: Readonly<Record<string, (shard: number) => Argument>>
}

/** @param options without retention and retry no script can be defined that asks for them */
export function shardValues(
  options: Pick<ScriptsOptions, 'namespace'> & Partial<ScriptsOptions>,
  keys: (shard: number) => ShardKeys,
): ScriptValues {
  const { namespace, shards = () => 1, retention, retry, maxRecoveries, clockOffsetMs = () => 0 } = options
  const { historyMax = 0, deadMax = 0, ...bounds } = retention ?? {}
  const settings = {
    ...bounds,
    ...(retry === undefined ? {} : { retry: JSON.stringify(retry) }),
    ...(maxRecoveries === undefined ? {} : { maxRecoveries }),
  }
  const parts = {
    historyMax: (shard: number) => shareOf(historyMax, shards(), shard),
    deadMax: (shard: number) => shareOf(deadMax, shards(), shard),
  }
  return {
    ofShard: (shard) => ({ ...keys(shard), ...settings, shard, wakeChannel: wakeChannelOf(namespace) }),
    current: { clockOffsetMs, ...(retention === undefined ? {} : parts) },
  }
}

/** For the scripts that are about no shard. */
export function namespaceValues({
  namespace,
  clockOffsetMs = () => 0,
}: Pick<ScriptsOptions, 'namespace' | 'clockOffsetMs'>): ScriptValues {
  const keys = {
    servers: serversKeyOf(namespace),
    events: eventsKeyOf(namespace),
    wakeChannel: wakeChannelOf(namespace),
    counts: shardCountsKeyOf(namespace),
    dataId: dataIdKeyOf(namespace),
    allPauses: pausesKeyOf(namespace),
    operations: operationsKeyOf(namespace),
    running: runningKeyOf(namespace),
    operationPrefix: operationPrefixOf(namespace),
    acts: actsKeyOf(namespace),
    asked: askedQueuesKeyOf(namespace),
    ...testClockKeysOf(namespace),
  }
  return { ofShard: () => keys, current: { clockOffsetMs } }
}

/** @returns a shard's part of a number for all of them; the parts add up to it */
const shareOf = (whole: number, shards: number, shard: number): number =>
  Math.floor(whole / shards) + (shard < whole % shards ? 1 : 0)

/** @returns a shard's keys, each made once */
export function keyCache(namespace: string): (shard: number) => ShardKeys {
  const shards = new Map<number, ShardKeys>()
  return (shard) => {
    let found = shards.get(shard)
    if (found === undefined) {
      found = keysOf(shard, namespace)
      shards.set(shard, found)
    }
    return found
  }
}
