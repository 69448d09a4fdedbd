import { randomBytes } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import type { Logger } from 'pino'
import type { BatchSender } from '../destinations/delivery.ts'
import { createSenders, problemsOf } from '../destinations/registry.ts'
import { parseAllowList } from '../destinations/webhook/addresses.ts'
import { parseWebhookSecrets } from '../destinations/webhook/secrets.ts'
import type { Destination } from '../domain/message.ts'
import { buildApp } from '../http/app.ts'
import type { HealthCheck } from '../http/original/health.ts'
import { parseApiKeys } from '../http/plugins/api-keys.ts'
import { parseAllowedHosts, parseCorsOrigins } from '../http/plugins/hosts.ts'
import { parseTrustedProxies } from '../http/plugins/trusted-proxies.ts'
import { RedisLeases } from '../leases/leases.ts'
import { createMembership } from '../membership/membership.ts'
import { createShardOwnership } from '../membership/ownership.ts'
import { createRecordFormChoice } from '../membership/record-form.ts'
import { createBulk } from '../messages/bulk.ts'
import { createDeadLetters } from '../messages/dead-letters.ts'
import { createGroupCommit } from '../messages/group-commit.ts'
import { listPage } from '../messages/listing.ts'
import { forecast, oldestLateMs, streams, totals } from '../messages/overview.ts'
import { createScheduler } from '../messages/scheduler.ts'
import { createSelector } from '../messages/selector.ts'
import { createMetrics, type Gather } from '../observability/prometheus.ts'
import { NEWEST_FORM } from '../records/record.ts'
import { withTimeout } from '../runtime/time-limit.ts'
import { VERSION } from '../runtime/version.ts'
import type { ShardMap } from '../shards/shard-map.ts'
import { createShardSync } from '../shards/shard-sync.ts'
import type { RedisConnection } from '../store/connect.ts'
import { keysOf } from '../store/keys.ts'
import { createPermissions } from '../store/permissions.ts'
import type { RedisClock } from '../store/redis-clock.ts'
import { readRedisFacts } from '../store/requirements.ts'
import type { ScriptsOptions } from '../store/script-values.ts'
import { createScripts } from '../store/scripts/scripts.ts'
import { createRaiseShards } from '../store/scripts/shard-counts.ts'
import { Claimers } from '../worker/claimers.ts'
import { createDispatcher } from '../worker/dispatcher.ts'
import { createLockKeeper } from '../worker/lock-keeper.ts'
import { SettleQueue } from '../worker/settle-queue.ts'
import { createSlots } from '../worker/slots.ts'
import type { Config } from './config.ts'
import { connectionsWithin, descriptorLimit } from './file-descriptors.ts'
import { createPermissionsMonitor } from './permissions-monitor.ts'
import { createReadiness } from './readiness.ts'

const ROSTER_WITHIN_MS = 300

export interface Foundations {
  readonly config: Config
  readonly logger: Logger
  /** where messages for the console go */
  readonly console: BatchSender
  readonly connection: RedisConnection
  readonly redisUser: { readonly db: number; readonly username: string | undefined }
  readonly clock: RedisClock
  readonly shardMap: ShardMap
  readonly checkHealth: HealthCheck
  /** where several processes are one service: what all of them have measured */
  readonly gatherMeasured?: Gather | undefined
}

/** Puts one server together from its parts; starts none of them. */
export async function compose(foundations: Foundations) {
  const { config, logger, console, connection, clock, shardMap, checkHealth, redisUser } = foundations
  const { client } = connection
  const { NAMESPACE: namespace, LOCK_TTL_MS: lockMs } = config
  const scriptsOptions = scriptsOptionsOf(foundations)
  const scripts = createScripts(client, scriptsOptions)
  const { metrics, expose, measured } = createMetrics({
    totals: () => totals(scripts, shardMap.all),
    gather: foundations.gatherMeasured,
  })
  const allow = parseAllowList(config.WEBHOOK_ALLOW ?? '')

  const serverId = randomBytes(9).toString('base64url')
  const ending = new AbortController()
  setMaxListeners(0, ending.signal) // each batch on its way out listens, of any number of shards
  const slots = createSlots({
    total: config.DELIVERY_CONCURRENCY,
    perHost: config.HOST_CONCURRENCY,
    onFree: () => claimers.slotFreed(),
  })
  const sender = createSenders({ secrets: secretsOf(foundations), allow, now: clock.now })
  const settleQueue = new SettleQueue({ scripts, logger, metrics }, ending.signal)
  const lockKeeper = createLockKeeper({ scripts, lockMs, logger, metrics })
  const dispatcher = createDispatcher({ sender, slots, lockKeeper, settleQueue, metrics }, ending.signal)
  const ownership = createShardOwnership(serverId, () => shardMap.all)
  let claims = 0
  const claimers = new Claimers({
    ...{
      scripts,
      clock,
      console,
      dispatcher,
      settleQueue,
      slots,
      ownership,
      logger,
      metrics,
      shardMap,
      lockMs,
      ending,
    },
    limit: config.CLAIM_BATCH,
    nextToken: () => `${serverId}:${++claims}`,
  })
  const leases = new RedisLeases({ scripts, clock, shardMap, logger, metrics })
  const recordForm = createRecordFormChoice()
  const self = { id: serverId, roles: config.ROLES, version: VERSION, form: NEWEST_FORM }
  const membership = createMembership({
    ...{ scripts, self, clock },
    state: () => ({ fullHosts: slots.takeSaturated(), stuck: claimers.isStuck() }),
    onMembers(servers, oldestForm) {
      recordForm.observe(oldestForm)
      const workers = servers.filter(({ roles, stuck }) => roles.includes('worker') && !stuck)
      ownership.record(workers.map(({ id }) => id))
    },
  })
  const raise = createRaiseShards(client, scriptsOptions)
  const permissions = createPermissions(client, { namespace, ...redisUser })
  const permissionsMonitor = createPermissionsMonitor({ permissions, shards: () => shardMap.all, logger })
  const shardSync = createShardSync({
    ...{ raise, shardMap, clock },
    onDataReplaced() {
      metrics.dataLost()
      logger.error(
        'Redis has lost its data: it was emptied or replaced by another Redis; messages scheduled before are lost ' +
          'unless the data is restored; new messages are served',
      )
    },
  })
  shardMap.onGrow(() => logger.info({ shards: shardMap.all }, 'the number of shards was raised'))

  const onNextDue = (shard: number, inMs: number, lane: string) => claimers.wake(shard, inMs, lane)
  let scheduleCalls = 0
  const groupCommit = createGroupCommit({
    ...{ scripts, clock, shards: () => shardMap.writable, onNextDue, metrics, probe: scripts.streams },
    nextToken: () => `${serverId}:${++scheduleCalls}`,
  })
  const selector = createSelector(scripts, shardMap)
  const api = {
    scheduler: createScheduler({
      groupCommit,
      scripts,
      shardMap,
      recordForm: recordForm.current,
      onNextDue,
      dedupWindowMs: config.DEDUP_WINDOW_MS,
      now: clock.now,
    }),
    bulk: createBulk({ scripts, selector, onNextDue }),
    deadLetters: createDeadLetters({ scripts, selector, onNextDue }),
    leases,
    checkDestination: (destination: Destination) => problemsOf(destination, allow),
    listPage: (query: Parameters<typeof listPage>[2]) => listPage(scripts, shardMap.all, query),
    forecast: (args: Parameters<typeof forecast>[2]) => forecast(scripts, shardMap.all, args),
    totals: () => totals(scripts, shardMap.all),
    servers: membership.servers,
    streams: () =>
      streams(scripts, shardMap.all, (shard, name) => keysOf(shard, namespace).streamPrefix + name),
    shards: () => shardMap.all,
    redisFacts: () => readRedisFacts(client),
    now: clock.now,
    lockMs,
    bodyLimit: config.BODY_LIMIT_BYTES,
    batchBodyLimit: config.BATCH_BODY_LIMIT_BYTES,
  }
  const checkReady = createReadiness({
    ping: checkHealth,
    facts: api.redisFacts,
    async oldestOverdueMs() {
      // On a cluster, one master has the list of servers. Without it, messages that wait for a slot may count as late.
      const servers = await withTimeout(membership.servers(), ROSTER_WITHIN_MS).catch(() => [])
      const full = servers.flatMap(({ fullHosts }) => fullHosts)
      return oldestLateMs(scripts, shardMap.all, [...new Set(full)])
    },
    maxLateMs: config.READY_MAX_LATE_MS,
  })
  const app = await buildApp({
    ...(config.ROLES.includes('api') ? { api } : {}),
    checkHealth,
    checkReady,
    exposeMetrics: expose,
    keys: parseApiKeys(config.API_KEYS ?? ''),
    allowOpen: config.ALLOW_OPEN,
    allowedHosts: parseAllowedHosts(config.ALLOWED_HOSTS ?? ''),
    corsOrigins: parseCorsOrigins(config.CORS_ORIGINS ?? ''),
    maxConnections: () => mostConnections(config),
    ...(config.TRUST_PROXY === undefined ? {} : { isTrustedProxy: parseTrustedProxies(config.TRUST_PROXY) }),
    perMinute: config.RATE_LIMIT_PER_MINUTE,
    logger,
  })
  /** Something in a lane becomes due: for servers, or for the workers that wait for it. */
  const wake = (shard: number, inMs: number, lane: string) => {
    claimers.wake(shard, inMs, lane)
    leases.wake(shard, inMs, lane)
  }
  const wakeAll = () => {
    claimers.wakeAll()
    leases.wakeAll()
  }
  return {
    app,
    claimers,
    membership,
    sender,
    shardSync,
    permissionsMonitor,
    wake,
    wakeAll,
    measured,
  }
}

function scriptsOptionsOf({ config, shardMap }: Foundations): ScriptsOptions {
  return {
    namespace: config.NAMESPACE,
    shards: () => shardMap.writable,
    retention: {
      historyMax: config.HISTORY_MAX,
      historyTtlMs: config.HISTORY_TTL_MS,
      dedupWindowMs: config.DEDUP_WINDOW_MS,
      deadMax: config.DEAD_MAX,
      deadTtlMs: config.DEAD_TTL_MS,
    },
    retry: {
      attempts: config.RETRY_ATTEMPTS,
      minMs: config.RETRY_MIN_MS,
      maxMs: config.RETRY_MAX_MS,
      factor: config.RETRY_FACTOR,
      jitter: config.RETRY_JITTER,
    },
    maxRecoveries: config.MAX_RECOVERIES,
  }
}

function mostConnections({ DELIVERY_CONCURRENCY }: Config): number | undefined {
  const limit = descriptorLimit()
  return limit === undefined ? undefined : connectionsWithin(limit, DELIVERY_CONCURRENCY)
}

/** Without a secret nobody who is sent a webhook can tell that it comes from here, which has to be known. */
function secretsOf({ config, logger }: Foundations): readonly Buffer[] {
  if (config.WEBHOOK_SECRETS !== undefined) return parseWebhookSecrets(config.WEBHOOK_SECRETS)
  if (config.ROLES.includes('worker')) logger.warn('WEBHOOK_SECRETS is not set: webhooks are not signed')
  return []
}
