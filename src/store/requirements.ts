import { Cluster, type Redis } from 'ioredis'
import { SchedulerError } from '../domain/errors.ts'
import { fulfilledValues, withTimeout } from '../runtime/time-limit.ts'
import { NOT_READY, NOT_SENT, toSchedulerError } from './redis-errors.ts'
import type { ShardCount } from './scripts/shard-counts.ts'

/** Redis does not meet the requirements. The message is one line that says what to change. */
export class UnsupportedRedisError extends Error {
  override readonly name = 'UnsupportedRedisError'
}

const OLDEST = { redis: [7, 0], valkey: [7, 2] } as const

/**
 * Checks whether Redis, or every master of a cluster, meets the requirements.
 *
 * @returns warnings, one line each, about what works but may surprise
 * @throws UnsupportedRedisError for a version too old, or an eviction policy that could evict locks and messages while
 *   `allowEviction` is false
 */
export async function checkRequirements(
  client: Redis | Cluster,
  { allowEviction }: { allowEviction: boolean },
): Promise<string[]> {
  if (client instanceof Cluster) {
    const warnings = await Promise.all(client.nodes('master').map((node) => checkNode(node, allowEviction)))
    return [...new Set(warnings.flat())]
  }
  return checkNode(client, allowEviction)
}

async function checkNode(node: Redis, allowEviction: boolean): Promise<string[]> {
  const info = await infoOf(node)
  if (info === REFUSED) {
    return ['Redis refuses INFO: version, eviction policy and persistence were not checked']
  }
  const warnings = checkVersion(info)
  const policy = info.get('maxmemory_policy')
  if (policy === undefined) {
    warnings.push(
      'Redis does not report its maxmemory-policy: with any policy but noeviction, it may evict locks and ' +
        'messages when memory runs out',
    )
  } else warnings.push(...checkPolicy(policy, allowEviction))
  const persistence = info.get('aof_enabled')
  if (persistence === undefined) {
    warnings.push(
      'Redis does not report whether its append-only file is on: without one, a crash of Redis loses ' +
        'messages accepted since its last snapshot',
    )
  } else if (persistence !== '1') {
    warnings.push(
      "Redis's append-only file is off: a crash of Redis loses messages accepted since its last snapshot; " +
        'set appendonly yes',
    )
  }
  return warnings
}

function checkPolicy(policy: string, allowEviction: boolean): string[] {
  const evicts = `maxmemory-policy is ${policy}, so Redis may evict locks and messages when memory runs out`
  if (policy !== 'noeviction' && !allowEviction) {
    throw new UnsupportedRedisError(
      `Redis's ${evicts}: set it to noeviction, or ALLOW_EVICTION=true to accept the risk`,
    )
  }
  return policy === 'noeviction' ? [] : [`Redis's ${evicts}; ALLOW_EVICTION=true accepts this`]
}

function checkVersion(info: ReadonlyMap<string, string>): string[] {
  const valkey = info.get('valkey_version')
  const [name, kind, version] =
    valkey === undefined
      ? (['Redis', 'redis', info.get('redis_version')] as const)
      : (['Valkey', 'valkey', valkey] as const)
  if (version === undefined) {
    return [
      `Redis does not report its version: ${OLDEST.redis.join('.')} or newer is required, or Valkey ` +
        `${OLDEST.valkey.join('.')}`,
    ]
  }
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [oldestMajor, oldestMinor] = OLDEST[kind]
  if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor)) {
    throw new UnsupportedRedisError(
      `${name} ${version} is too old: ${oldestMajor}.${oldestMinor} or newer is required`,
    )
  }
  return []
}

/** Anything but text, as from a proxy, and fields without a value are unknown. */
function parseInfo(reply: unknown): Info {
  const lines = typeof reply === 'string' ? reply.split(/\r?\n/) : []
  const fields = lines.flatMap((line) => (line.includes(':') ? [splitAtColon(line)] : []))
  return new Map(fields.filter(([, value]) => value !== ''))
}

function splitAtColon(line: string): [string, string] {
  const colon = line.indexOf(':')
  return [line.slice(0, colon), line.slice(colon + 1)]
}

/**
 * @param counts every number of shards so far, rising
 * @throws UnsupportedRedisError when `shards` is lower, as messages in the other shards would never be delivered
 */
export function requireAllShards(counts: readonly ShardCount[], shards: number): void {
  const newest = counts.at(-1)?.count ?? 0
  if (shards >= newest) return
  throw new UnsupportedRedisError(
    `SHARDS is ${shards}, but this Redis has messages in ${newest} shards: those in the other shards ` +
      `would never be delivered; set SHARDS=${newest}`,
  )
}

/** Null for what Redis does not report, or not to this user. */
export interface RedisFacts {
  readonly version: string | null
  readonly usedMemoryBytes: number | null
  /** 0 for no limit */
  readonly maxMemoryBytes: number | null
}

/** A command for a caller that acts on failures. @throws SchedulerError as toSchedulerError says */
const askRedis = <T>(command: string, answer: Promise<T>, withinMs?: number): Promise<T> =>
  withTimeout(answer, withinMs).catch((error: unknown) => {
    if (error instanceof SchedulerError) throw error
    throw toSchedulerError(command, error)
  })

/** A master that does not answer must not delay the answers of the others. */
const EACH_MASTER_WITHIN_MS = 700

/**
 * Version and memory; on a cluster, the sum over all masters that answer. What one of those does not report is null.
 * @throws SchedulerError when none answers
 */
export async function readRedisFacts(client: Redis | Cluster): Promise<RedisFacts> {
  const nodes = client instanceof Cluster ? client.nodes('master') : [client]
  const withinMs = client instanceof Cluster ? EACH_MASTER_WITHIN_MS : undefined
  const infos = await fulfilledValues(nodes.map((node) => infoOf(node, withinMs)))
  const sum = (name: string) =>
    infos.reduce<number | null>((total, info) => {
      const value = Number(info.get(name) ?? Number.NaN)
      return total === null || Number.isNaN(value) ? null : total + value
    }, 0)
  const [first] = infos
  return {
    version: first?.get('valkey_version') ?? first?.get('redis_version') ?? null,
    usedMemoryBytes: sum('used_memory'),
    maxMemoryBytes: sum('maxmemory'),
  }
}

/** What an operator asks of the Redis in use; null for what it does not report. */
export interface RedisDetails extends RedisFacts {
  readonly maxMemoryPolicy: string | null
  /** whether its append-only file is on; on a cluster, on every master that answers */
  readonly appendOnly: boolean | null
  /** how long it took to answer this, ms; on a cluster, the slowest master that answers */
  readonly pingMs: number | null
}

/** @throws SchedulerError when no master answers */
export async function readRedisDetails(client: Redis | Cluster): Promise<RedisDetails> {
  const nodes = client instanceof Cluster ? client.nodes('master') : [client]
  const ask = async (node: Redis) => {
    const from = performance.now()
    await askRedis('PING', node.ping(), EACH_MASTER_WITHIN_MS)
    const pingMs = performance.now() - from
    return { pingMs, info: await infoOf(node, EACH_MASTER_WITHIN_MS) }
  }
  const [facts, answers] = await Promise.all([readRedisFacts(client), fulfilledValues(nodes.map(ask))])
  const appendOnly = answers.map(({ info }) => info.get('aof_enabled'))
  return {
    ...facts,
    maxMemoryPolicy: answers[0]?.info.get('maxmemory_policy') ?? null,
    appendOnly: appendOnly.includes(undefined) ? null : appendOnly.every((enabled) => enabled === '1'),
    pingMs: Math.round(Math.max(...answers.map(({ pingMs }) => pingMs)) * 10) / 10,
  }
}

type Info = ReadonlyMap<string, string>
const REFUSED: Info = new Map()

/** REFUSED if the user lacks the permission, or the command is disabled. */
const infoOf = (node: Redis, withinMs?: number): Promise<Info> =>
  askRedis('INFO', node.info(), withinMs).then(parseInfo, (error: SchedulerError) => {
    if (error.code === 'STORE_REFUSED') return REFUSED
    throw error
  })

const HEALTHY_WITHIN_MS = 1_000

async function pingAny(client: Redis | Cluster): Promise<unknown> {
  if (!(client instanceof Cluster)) return client.ping()
  if (client.status !== 'ready') throw new Error(NOT_READY)
  return Promise.any(client.nodes('master').map((node) => node.ping())).catch((error: AggregateError) => {
    throw error.errors[0] ?? new Error('the cluster has no master')
  })
}

/**
 * Pings Redis; on a cluster any master is enough, as messages go to one that works.
 *
 * @param disconnectReason why there is no connection, if that is known
 * @throws Error with the reason when Redis has not answered within a second
 */
export async function pingRedis(
  client: Redis | Cluster,
  disconnectReason: () => string | undefined,
): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const silence = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('Redis did not answer within a second')), HEALTHY_WITHIN_MS)
  })
  try {
    await Promise.race([pingAny(client), silence])
  } catch (error) {
    // The connection knows better why a command was not sent or was lost, but possibly not yet.
    if (NOT_SENT.test((error as Error).message) || (error as Error).name === 'MaxRetriesPerRequestError')
      throw new Error(disconnectReason() ?? 'the connection to Redis was closed')
    throw error
  } finally {
    clearTimeout(timer)
  }
}
