import { Cluster, type Redis } from 'ioredis'
import { shardCountKeyOf } from './keys.ts'

/** Redis as it is cannot be trusted with messages. The message is one line that says what to change. */
export class UnfitRedisError extends Error {
  override readonly name = 'UnfitRedisError'
}

const OLDEST = { redis: [7, 0], valkey: [7, 2] } as const

/**
 * Looks whether Redis, on a cluster every master of it, can be trusted with messages.
 *
 * @returns warnings, one line each, about what works but may surprise
 * @throws UnfitRedisError for a version too old, or an eviction policy that could throw locks and messages
 *   away while `allowEviction` is false
 */
export async function checkRequirements(
  client: Redis | Cluster,
  { allowEviction }: { allowEviction: boolean },
): Promise<string[]> {
  const nodes = client instanceof Cluster ? client.nodes('master') : [client]
  const warnings = await Promise.all(nodes.map((node) => checkNode(node, allowEviction)))
  return [...new Set(warnings.flat())]
}

async function checkNode(node: Redis, allowEviction: boolean): Promise<string[]> {
  const info = parseInfo(await node.info())
  checkVersion(info)

  const policy = info.get('maxmemory_policy') ?? 'unknown'
  const evicts = `maxmemory-policy is ${policy}, with which Redis may throw away locks and messages when memory runs out`
  if (policy !== 'noeviction' && !allowEviction) {
    throw new UnfitRedisError(
      `Redis's ${evicts}: set it to noeviction, or ALLOW_EVICTION=true to take the risk`,
    )
  }
  const warnings = policy === 'noeviction' ? [] : [`Redis's ${evicts}; ALLOW_EVICTION=true accepts that`]
  if (info.get('aof_enabled') !== '1') {
    warnings.push(
      "Redis's append-only file is off: a crash of Redis loses messages accepted since its last snapshot; set appendonly yes",
    )
  }
  return warnings
}

function checkVersion(info: ReadonlyMap<string, string>): void {
  const valkey = info.get('valkey_version')
  const [name, kind, version] =
    valkey === undefined
      ? (['Redis', 'redis', info.get('redis_version') ?? ''] as const)
      : (['Valkey', 'valkey', valkey] as const)
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [oldestMajor, oldestMinor] = OLDEST[kind]
  if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor)) {
    throw new UnfitRedisError(
      `${name} ${version} is too old: ${oldestMajor}.${oldestMinor} or newer is needed`,
    )
  }
}

function parseInfo(text: string): Map<string, string> {
  return new Map(text.split('\r\n').flatMap((line) => (line.includes(':') ? [splitAtColon(line)] : [])))
}

function splitAtColon(line: string): [string, string] {
  const colon = line.indexOf(':')
  return [line.slice(0, colon), line.slice(colon + 1)]
}

/**
 * Holds `SHARDS` against what this scheduler was started with before, and records it.
 *
 * @throws UnfitRedisError when it is lower, as messages in the shards left out would never be delivered
 */
export async function checkShardCount(
  client: Redis | Cluster,
  namespace: string,
  shards: number,
): Promise<void> {
  const key = shardCountKeyOf(namespace)
  const stored = Number((await client.get(key)) ?? 0)
  if (shards < stored) {
    throw new UnfitRedisError(
      `SHARDS is ${shards} but this Redis holds messages in ${stored} shards, and the rest would never be delivered: set SHARDS=${stored}`,
    )
  }
  if (shards > stored) await client.set(key, shards)
}

/** @returns Redis's clock, epoch ms */
export async function readRedisClock(client: Redis | Cluster): Promise<number> {
  const [seconds, microseconds] = (await client.time()).map(Number)
  return (seconds ?? 0) * 1_000 + Math.floor((microseconds ?? 0) / 1_000)
}

const HEALTHY_WITHIN_MS = 1_000

/** @throws Error with the reason when Redis has not answered within a second */
export async function pingRedis(client: Redis | Cluster, whyAway: () => string): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const silence = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('Redis did not answer within a second')), HEALTHY_WITHIN_MS)
  })
  try {
    await Promise.race([
      client.ping().catch(() => {
        throw new Error(whyAway())
      }),
      silence,
    ])
  } finally {
    clearTimeout(timer)
  }
}
