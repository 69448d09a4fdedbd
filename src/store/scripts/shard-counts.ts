import { randomBytes } from 'node:crypto'
import type { Cluster, Redis } from 'ioredis'
import { SchedulerError } from '../../domain/errors.ts'
import { namespaceDefine } from '../define-script.ts'
import { shardCountsKeyOf } from '../keys.ts'
import { toSchedulerError } from '../redis-errors.ts'
import type { ScriptsOptions } from '../script-values.ts'

/**
 * A raised number of shards is used after this time. Every server knows it by then, or must not store messages with
 * client-made ids: the number it knows is valid no longer than this. A failed master of a cluster is replaced sooner.
 */
export const RAISE_DELAY_MS = 30_000

export const MOST_SHARDS = 1_024

export interface ShardCount {
  readonly count: number
  /** from when on it applies to new messages, by Redis's clock, epoch ms; 0 for always */
  readonly from: number
}

export interface ShardCounts {
  /** Redis's clock when they were read, epoch ms */
  readonly now: number
  /** all numbers of shards so far and the next one, rising; never empty */
  readonly counts: readonly ShardCount[]
}

interface RaisedShards extends ShardCounts {
  /** whether Redis has other data than at the last call, or none: it was emptied or replaced */
  readonly dataReplaced: boolean
}

/**
 * Raises the recorded number of shards, unless it is as large already.
 *
 * @returns the numbers after that
 * @throws SchedulerError as toSchedulerError says; STORE_REFUSED if what Redis has recorded is no list of numbers
 * @see lua/service/shards.lua
 */
export type RaiseShards = (count: number) => Promise<RaisedShards>

export function createRaiseShards(
  client: Redis | Cluster,
  options: Pick<ScriptsOptions, 'namespace' | 'clockOffsetMs'>,
): RaiseShards {
  const raise = namespaceDefine(client, options)('shards', {
    args: ['count', 'afterMs', 'knownId', 'newId'],
    timed: true,
  })
  let knownId = ''
  return async (count) => {
    const newId = randomBytes(12).toString('base64url')
    const [now, text, dataId] = await raise(0, { count, afterMs: RAISE_DELAY_MS, knownId, newId })
    const counts = parseShardCounts(String(text))
    if (counts === undefined) {
      throw new SchedulerError(
        'STORE_REFUSED',
        `the key ${shardCountsKeyOf(options.namespace)} holds no shard counts: ${JSON.stringify(text)}`,
      )
    }
    const dataReplaced = knownId !== '' && knownId !== dataId
    knownId = String(dataId)
    return { now: Number(now), counts, dataReplaced }
  }
}

/**
 * @returns the numbers as Redis has recorded them, undefined if they cannot be read
 * @throws as toSchedulerError says
 */
export type ReadShardCounts = () => Promise<readonly ShardCount[] | undefined>

export function createReadShardCounts(client: Redis | Cluster, namespace: string): ReadShardCounts {
  return async () => {
    const text = await client.get(shardCountsKeyOf(namespace)).catch((error: unknown) => {
      throw toSchedulerError('get', error)
    })
    return parseShardCounts(text ?? '')
  }
}

const FORM = /^\d{1,4}(,\d{1,4}(@\d{1,15})?)*$/

/**
 * @param text e.g. "1,16,32@1795487896890"
 * @returns undefined unless the numbers rise, from 1 or more to MOST_SHARDS or less
 */
function parseShardCounts(text: string): ShardCount[] | undefined {
  if (!FORM.test(text)) return undefined
  const counts = text.split(',').map((entry) => {
    const [count = 0, from = 0] = entry.split('@').map(Number)
    return { count, from }
  })
  const isRising = counts.every(({ count }, i) => count > (counts[i - 1]?.count ?? 0))
  return isRising && counts.every(({ count }) => count <= MOST_SHARDS) ? counts : undefined
}
