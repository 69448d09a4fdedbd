import { expect, inject, onTestFinished } from 'vitest'
import type { Finding } from '../../src/audit/kinds.ts'
import { SchedulerError } from '../../src/domain/errors.ts'
import type { Destination } from '../../src/domain/message.ts'
import { shardOfClientId } from '../../src/domain/message-id.ts'
import { encodeRecordBody } from '../../src/records/record.ts'
import { readConfig } from '../../src/server/config.ts'
import { connect } from '../../src/store/connect.ts'
import { parseRedisUrl } from '../../src/store/redis-url.ts'
import { createScripts } from '../../src/store/scripts/scripts.ts'
import { auditFindings } from './audit.ts'
import { freshCall } from './fresh-call.ts'
import { freshNamespace } from './namespace.ts'
import { clearNamespace } from './redis.ts'
import { SETTINGS } from './retention.ts'
import { type ConsoleLine, type Service, type ServiceOptions, startService } from './service.ts'
import { until } from './until.ts'

/** Several servers that share one namespace. */
export interface Fleet {
  readonly namespace: string
  /** the number of shards, unless a server has another setting */
  readonly shards: number
  readonly servers: readonly Service[]
  /** Starts another server. */
  add(options?: ServiceOptions): Promise<Service>
  /**
   * Schedules `count` messages without HTTP, which on a busy machine might take until they are due.
   * @returns their ids
   */
  schedule(
    count: number,
    dueAt: number | ((i: number) => number),
    options?: { payload?: string; destination?: Destination; prefix?: string },
  ): Promise<string[]>
  /**
   * The findings of the auditor now: for tests whose Redis ends before the fleet is audited, and for those that have
   * damaged something.
   */
  findings(): Promise<Finding[]>
  /** Every delivery of any server so far, killed ones included. */
  delivered(): ConsoleLine[]
  /** Waits until each id was delivered at least once. */
  untilDelivered(ids: Iterable<string>, timeoutMs?: number): Promise<void>
}

export interface FleetOptions {
  readonly size: number
  readonly redisUrl?: string
  readonly env?: Readonly<Record<string, string>>
  /** whether the namespace is audited when the test ends; false where the test damages it by hand */
  readonly audited?: boolean
}

/** A Redis that the test has ended is not audited. */
function unlessGone(error: unknown): Finding[] {
  if (error instanceof SchedulerError && error.code === 'STORE_UNAVAILABLE') return []
  throw error
}

/**
 * Starts `size` servers in a namespace of their own. At the end of the test, passed or failed, they are killed, and
 * what they leave in Redis is audited.
 */
export async function startFleet({
  size,
  redisUrl = inject('redisUrl'),
  env = {},
  audited = true,
}: FleetOptions): Promise<Fleet> {
  const namespace = freshNamespace()
  const { SHARDS: shards } = readConfig({ REDIS_URL: redisUrl, ...env })
  const servers: Service[] = []
  const connection = connect(parseRedisUrl(redisUrl))
  const findings = () => auditFindings(connection.client, namespace)
  onTestFinished(async () => {
    await Promise.all(servers.map((server) => server.end('SIGKILL')))
    try {
      // A Redis that the test has killed is not audited.
      if (!connection.isReady()) return
      if (audited) expect(await findings().catch(unlessGone)).toEqual([])
      await clearNamespace(connection.client, namespace).catch(() => undefined)
    } finally {
      await connection.close()
    }
  })
  const add = async (options: ServiceOptions = {}) => {
    const server = await startService({
      ...options,
      env: { REDIS_URL: redisUrl, NAMESPACE: namespace, ...env, ...options.env },
    })
    servers.push(server)
    return server
  }
  await Promise.all(Array.from({ length: size }, () => add()))

  const schedule: Fleet['schedule'] = async (count, dueAt, { payload, destination, prefix = 'm' } = {}) => {
    const options = destination === undefined ? {} : { destination }
    await connection.waitUntilReady(60_000)
    const scripts = createScripts(connection.client, { ...SETTINGS, namespace })
    const entries = Array.from({ length: count }, (_, i) => ({
      id: `${prefix}${i}`,
      due: { at: typeof dueAt === 'number' ? dueAt : dueAt(i) },
      rule: 'any' as const,
      body: encodeRecordBody(JSON.stringify(payload ?? `message ${i}`), options),
    }))
    const inShard = (shard: number) => entries.filter(({ id }) => shardOfClientId(id, shards) === shard)
    await Promise.all(
      Array.from({ length: shards }, (_, shard) => scripts.schedule(shard, inShard(shard), freshCall())),
    )
    return entries.map(({ id }) => id)
  }

  const delivered = () => servers.flatMap((server) => server.delivered)
  return {
    namespace,
    shards,
    servers,
    add,
    schedule,
    async findings() {
      await connection.waitUntilReady(20_000)
      return findings()
    },
    delivered,
    async untilDelivered(ids, timeoutMs) {
      const wanted = new Set(ids)
      await until(
        `all of ${wanted.size} messages are delivered`,
        () => {
          for (const { messageId } of delivered()) wanted.delete(messageId)
          return wanted.size === 0
        },
        timeoutMs,
      ).catch((error: unknown) => {
        throw new Error(`missing: ${wanted.size}, such as ${[...wanted].slice(0, 5)}`, { cause: error })
      })
    },
  }
}

/** Posts `count` messages due at `dueAt`, spread over the servers, and returns the accepted ids. */
export async function postMany(
  servers: readonly Service[],
  count: number,
  dueAt: number | ((i: number) => number),
): Promise<string[]> {
  const ids: string[] = []
  const PER_TURN = 200
  for (let first = 0; first < count; first += PER_TURN) {
    const turn = Array.from({ length: Math.min(PER_TURN, count - first) }, async (_, i) => {
      const server = servers[(first + i) % servers.length]
      const due = typeof dueAt === 'number' ? dueAt : dueAt(first + i)
      const answer = await server?.post(due, `message ${first + i}`)
      if (answer?.status === 200) ids.push(answer.body.id ?? '')
    })
    await Promise.all(turn)
  }
  return ids
}

/** How often each id was delivered, for ids delivered more than once. */
export function repeated(lines: readonly ConsoleLine[]): Record<string, number> {
  const counts = new Map<string, number>()
  for (const { messageId } of lines) counts.set(messageId, (counts.get(messageId) ?? 0) + 1)
  return Object.fromEntries([...counts].filter(([, count]) => count > 1))
}

/** The ids that were delivered twice as the same attempt: none, since a repeat counts as another attempt. */
export function sameAttemptTwice(lines: readonly ConsoleLine[]): string[] {
  const seen = new Set<string>()
  return lines.flatMap(({ messageId, attempt }) => {
    const before = seen.size
    return seen.add(`${messageId} ${attempt}`).size === before ? [messageId] : []
  })
}

/** The lines that came before their due time, or that claim so. */
export const early = (lines: readonly ConsoleLine[]) =>
  lines.filter(({ lateMs, seenAt, dueAt }) => lateMs < 0 || seenAt < dueAt)
