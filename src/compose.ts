import { randomBytes } from 'node:crypto'
import type { Logger } from 'pino'
import { buildApp } from './app.ts'
import { createClaimLoop } from './claim/claim-loop.ts'
import type { Config } from './config.ts'
import type { Destination } from './deliver/deliver.ts'
import { parseApiKeys } from './http/api-keys.ts'
import type { HealthCheck } from './http/health.routes.ts'
import type { RedisConnection } from './redis/connect.ts'
import { createMessageScripts } from './redis/message-scripts.ts'
import type { RedisClock } from './redis/redis-clock.ts'
import { readRedisFacts } from './redis/requirements.ts'
import { createScripts } from './redis/scripts.ts'
import { createBulk } from './schedule/bulk.ts'
import { createGroupCommit } from './schedule/group-commit.ts'
import { listPage } from './schedule/listing.ts'
import { forecast, totals } from './schedule/overview.ts'
import { createRoster } from './schedule/roster.ts'
import { createScheduler } from './schedule/scheduler.ts'
import type { ShardBook } from './schedule/shard-book.ts'
import { VERSION } from './version.ts'

export interface Foundations {
  readonly config: Config
  readonly logger: Logger
  /** where messages for the console go */
  readonly console: Destination
  readonly connection: RedisConnection
  readonly clock: RedisClock
  readonly shardBook: ShardBook
  readonly checkHealth: HealthCheck
}

/** Puts one server together from its parts; starts none of them. */
export async function compose(foundations: Foundations) {
  const { config, logger, console, connection, clock, shardBook, checkHealth } = foundations
  const { client } = connection
  const shards = config.SHARDS
  const retention = {
    historyMax: config.HISTORY_MAX,
    historyTtlMs: config.HISTORY_TTL_MS,
    dedupWindowMs: config.DEDUP_WINDOW_MS,
  }
  const scriptsOptions = { namespace: config.NAMESPACE, shards, retention }
  const scripts = createScripts(client, scriptsOptions)
  const messageScripts = createMessageScripts(client, scriptsOptions)

  const serverId = randomBytes(9).toString('base64url')
  let claims = 0
  const claimLoop = createClaimLoop({
    scripts,
    clock,
    destination: console,
    logger,
    shards,
    limit: config.CLAIM_BATCH,
    lockMs: config.LOCK_TTL_MS,
    nextToken: () => `${serverId}:${++claims}`,
  })
  const roster = createRoster(messageScripts, { id: serverId, roles: config.ROLES, version: VERSION }, clock)

  const onHead = claimLoop.wake
  const groupCommit = createGroupCommit({ scripts, clock, shards, onHead })
  const api = {
    scheduler: createScheduler({
      groupCommit,
      scripts: messageScripts,
      shardBook,
      onHead,
      dedupWindowMs: config.DEDUP_WINDOW_MS,
      now: clock.now,
    }),
    bulk: createBulk({ scripts: messageScripts, shardBook, onHead }),
    listPage: (query: Parameters<typeof listPage>[2]) => listPage(messageScripts, shards, query),
    forecast: (args: Parameters<typeof forecast>[2]) => forecast(messageScripts, shards, args),
    totals: () => totals(messageScripts, shards),
    servers: roster.servers,
    redisFacts: () => readRedisFacts(client),
    now: clock.now,
    bodyLimit: config.BODY_LIMIT_BYTES,
    batchBodyLimit: config.BATCH_BODY_LIMIT_BYTES,
  }
  const app = await buildApp({
    ...(config.ROLES.includes('api') ? { api } : {}),
    checkHealth,
    keys: config.API_KEYS === undefined ? [] : parseApiKeys(config.API_KEYS),
    perMinute: config.RATE_LIMIT_PER_MINUTE,
    logger,
  })
  return { app, claimLoop, roster }
}
