import { randomBytes } from 'node:crypto'
import { parseAllowList } from '../destinations/webhook/addresses.ts'
import { parseWebhookSecrets } from '../destinations/webhook/secrets.ts'
import { createEvents } from '../events/events.ts'
import { tellingScripts } from '../events/telling-scripts.ts'
import { type AppDeps, buildApp } from '../http/app.ts'
import { parseApiKeys } from '../http/plugins/api-keys.ts'
import { parseAllowedHosts, parseCorsOrigins } from '../http/plugins/hosts.ts'
import { parseTrustedProxies } from '../http/plugins/trusted-proxies.ts'
import { createMembership, type Membership } from '../membership/membership.ts'
import { createRecordFormChoice } from '../membership/record-form.ts'
import { oldestLateMs, totals } from '../messages/overview.ts'
import { createMetrics } from '../observability/prometheus.ts'
import { createPauses } from '../pauses/pauses.ts'
import { NEWEST_FORM } from '../records/record.ts'
import { withTimeout } from '../runtime/time-limit.ts'
import { VERSION } from '../runtime/version.ts'
import { createShardSync } from '../shards/shard-sync.ts'
import { createPermissions } from '../store/permissions.ts'
import { readRedisFacts } from '../store/requirements.ts'
import type { ScriptsOptions } from '../store/script-values.ts'
import { createEventScripts } from '../store/scripts/events.ts'
import { createScripts } from '../store/scripts/scripts.ts'
import { createRaiseShards } from '../store/scripts/shard-counts.ts'
import { countByLane } from '../traffic/by-lane.ts'
import { TrafficRecorder } from '../traffic/recorder.ts'
import { composeApi } from './compose-api.ts'
import { composeTestClock } from './compose-test-clock.ts'
import { capacityOf, composeWorker } from './compose-worker.ts'
import type { Config } from './config.ts'
import { connectionsWithin, descriptorLimit } from './file-descriptors.ts'
import type { Foundations, Parts } from './parts.ts'
import { createPermissionsMonitor } from './permissions-monitor.ts'
import { createReadiness } from './readiness.ts'

const MEMBERS_WITHIN_MS = 300

/** Puts one server together from its parts; starts none of them. */
export async function compose(foundations: Foundations) {
  const { config, logger, connection, clock, shardMap, redisUser } = foundations
  const { client } = connection
  const serverId = randomBytes(9).toString('base64url')
  const scriptsOptions = scriptsOptionsOf(foundations)
  const testClock = composeTestClock({ ...foundations, serverId, scriptsOptions })
  const quietScripts = testClock?.scripts ?? createScripts(client, scriptsOptions)
  const { expose, measured, ...prometheus } = createMetrics({
    totals: () => totals(quietScripts, shardMap.all),
    pauses: () => pauses.list().length,
    deliveries: () => ({ inFlight: slots.inFlight().total, capacity: capacityOf(config) }),
    gather: foundations.gatherMeasured,
  })
  const traffic = new TrafficRecorder({ scripts: quietScripts, serverId, now: clock.now })
  const metrics = countByLane(prometheus.metrics, traffic)
  const events = createEvents({
    ...{ serverId, metrics, logger, now: clock.now },
    scripts: createEventScripts(client, scriptsOptions, config.EVENTS_MAX),
    always: config.EVENTS === 'always',
    totals: () => totals(quietScripts, shardMap.all),
  })
  const scripts = tellingScripts(quietScripts, events.sink, clock.now)
  const allow = parseAllowList(config.WEBHOOK_ALLOW ?? '')
  const destinations = { secrets: secretsOf(foundations), allow, now: clock.now }
  const pauses = createPauses({
    ...{ scripts, shardMap, clock, events: events.sink },
    onChange: () => wakeAll(),
  })
  const parts: Parts = {
    ...{ ...foundations, serverId, scripts, metrics, destinations, pauses },
    events: events.sink,
  }

  const { claimers, sender, slots, ownership, load } = composeWorker({
    ...parts,
    scripts: testClock?.paced(scripts) ?? scripts,
  })
  const recordForm = createRecordFormChoice()
  let workerHeardAt: number | null = null
  const membership = createMembership({
    ...{ scripts, clock },
    self: { id: serverId, roles: config.ROLES, version: VERSION, form: NEWEST_FORM, pauses: true },
    state() {
      const listeners = events.lastHeard()
      const fullHosts = slots.takeSaturated()
      const state = { fullHosts, stuck: claimers.isStuck(), load: load(fullHosts) }
      return listeners === undefined ? state : { ...state, listeners }
    },
    onMembers(servers, oldestForm) {
      events.onMembers(servers)
      api.runner.onMembers(servers)
      recordForm.observe(oldestForm)
      const workers = servers.filter(({ roles }) => roles.includes('worker'))
      if (workerHeardAt === null || workers.length > 0) workerHeardAt = clock.now()
      ownership.record(workers.filter(({ stuck }) => !stuck).map(({ id }) => id))
    },
  })
  const permissions = createPermissions(client, { namespace: config.NAMESPACE, ...redisUser })
  const permissionsMonitor = createPermissionsMonitor({ permissions, shards: () => shardMap.all, logger })
  const shardSync = createShardSync({
    ...{ shardMap, clock },
    raise: testClock?.raiseShards ?? createRaiseShards(client, scriptsOptions),
    onDataReplaced() {
      metrics.dataLost()
      logger.error(
        'Redis has lost its data: it was emptied or replaced by another Redis; messages scheduled before are lost ' +
          'unless the data is restored; new messages are served',
      )
    },
  })
  shardMap.onGrow(() => logger.info({ shards: shardMap.all }, 'the number of shards was raised'))

  const api = composeApi({
    ...{ ...parts, membership, traffic, recordForm: recordForm.current, eventStreams: events.streams },
    workerHeardAt: () => workerHeardAt,
    onNextDue: (shard, inMs, lane) => claimers.wake(shard, inMs, lane),
  })
  const app = await buildApp({
    ...httpSettingsOf(config),
    ...(config.ROLES.includes('api') ? { api } : {}),
    ...(testClock === undefined ? {} : { testClock: testClock.testClock }),
    checkHealth: foundations.checkHealth,
    checkReady: readinessOf(parts, membership),
    exposeMetrics: expose,
    logger,
  })
  /** Something in a lane becomes due: for servers, or for the workers that wait for it. */
  const wake = (shard: number, inMs: number, lane: string) => {
    claimers.wake(shard, inMs, lane)
    api.leases.wake(shard, inMs, lane)
  }
  const wakeAll = () => {
    claimers.wakeAll()
    api.leases.wakeAll()
    events.resume()
  }
  const started = {
    app,
    claimers,
    events,
    membership,
    pauses,
    runner: api.runner,
    actLog: api.actLog,
    sender,
    shardSync,
    permissionsMonitor,
    traffic,
    clockFollower: testClock?.follower,
  }
  testClock?.connect({ membership, claimers, leases: api.leases, events: events.sink })
  return { ...started, wake, wakeAll, measured }
}

function readinessOf({ config, scripts, shardMap, connection, checkHealth }: Parts, membership: Membership) {
  return createReadiness({
    ping: checkHealth,
    facts: () => readRedisFacts(connection.client),
    async oldestOverdueMs() {
      // On a cluster, one master has the list of servers. Without it, messages that wait for a slot may count as late.
      const servers = await withTimeout(membership.servers(), MEMBERS_WITHIN_MS).catch(() => [])
      const full = servers.flatMap(({ fullHosts }) => fullHosts)
      return oldestLateMs(scripts, shardMap.all, [...new Set(full)])
    },
    maxLateMs: config.READY_MAX_LATE_MS,
  })
}

/** What the settings say of who may use the server, and how much. */
function httpSettingsOf(config: Config) {
  return {
    keys: parseApiKeys(config.API_KEYS ?? ''),
    allowOpen: config.ALLOW_OPEN,
    allowedHosts: parseAllowedHosts(config.ALLOWED_HOSTS ?? ''),
    corsOrigins: parseCorsOrigins(config.CORS_ORIGINS ?? ''),
    maxConnections: () => mostConnections(config),
    ...(config.TRUST_PROXY === undefined ? {} : { isTrustedProxy: parseTrustedProxies(config.TRUST_PROXY) }),
    perMinute: config.RATE_LIMIT_PER_MINUTE,
  } satisfies Partial<AppDeps>
}

function scriptsOptionsOf({ config, shardMap, testTime }: Foundations): ScriptsOptions {
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
    ...(testTime === undefined ? {} : { clockOffsetMs: testTime.text }),
  }
}

function mostConnections({ DELIVERY_CONCURRENCY }: Config): number | undefined {
  const limit = descriptorLimit()
  return limit === undefined ? undefined : connectionsWithin(limit, DELIVERY_CONCURRENCY)
}

/** Without a secret, a receiver cannot check that a webhook comes from here. That must not go unnoticed. */
function secretsOf({ config, logger }: Foundations): readonly Buffer[] {
  if (config.WEBHOOK_SECRETS !== undefined) return parseWebhookSecrets(config.WEBHOOK_SECRETS)
  if (config.ROLES.includes('worker')) logger.warn('WEBHOOK_SECRETS is not set: webhooks are not signed')
  return []
}
