import type { Logger } from 'pino'
import { createTestTime } from '../clock/test-time.ts'
import type { BatchSender } from '../destinations/delivery.ts'
import type { Gather, Measured } from '../observability/prometheus.ts'
import { sleep } from '../runtime/sleep.ts'
import { createShardMap } from '../shards/shard-map.ts'
import { connect, connectToHear } from '../store/connect.ts'
import { createRedisClock } from '../store/redis-clock.ts'
import { describeTarget, type RedisTarget } from '../store/redis-url.ts'
import { checkRequirements, pingRedis, UnsupportedRedisError } from '../store/requirements.ts'
import { listenForWakes } from '../store/wake-listener.ts'
import { compose } from './compose.ts'
import { type Config, isLoopback } from './config.ts'
import { monitorRedis, type RedisMonitor } from './redis-monitor.ts'

/** A start waits this long for Redis before it answers requests without it. */
const WAIT_FOR_REDIS_MS = 1_500

/** What Redis says of credentials. */
const REFUSED = /WRONGPASS|NOAUTH|invalid password/

export interface ServerOptions {
  readonly config: Config
  readonly target: RedisTarget
  readonly console: BatchSender
  readonly logger: Logger
  /** called if Redis does not meet the requirements in a later first check; the process has to end */
  readonly onUnsupported: (error: UnsupportedRedisError) => void
  /** called when the connection is lost */
  readonly onDisconnected?: () => void
  /** where several processes are one service: what all of them have measured */
  readonly gatherMeasured?: Gather
}

export interface Server {
  /** where it listens, e.g. http://127.0.0.1:3000 */
  readonly url: string
  /** what it and its process have measured so far */
  measured(): Promise<Measured>
  /**
   * Stops accepting and claiming, finishes claimed messages within the grace, and releases the rest.
   * @returns once nothing of it is running
   */
  stop(options: { graceMs: number }): Promise<void>
}

/**
 * Starts one server: the HTTP side, the claimers, or both, on one Redis.
 *
 * It also starts while Redis is away: requests are answered 503 until Redis is there.
 *
 * @throws UnsupportedRedisError when Redis must not be trusted with messages
 * @throws Error when the address cannot be listened on
 */
export async function startServer(options: ServerOptions): Promise<Server> {
  const { config, target, logger, onDisconnected = () => undefined } = options
  const connection = connect(target)
  const wakeConnection = connectToHear(target)
  const testTime = config.TEST_CLOCK === 'false' ? undefined : createTestTime()
  const clock = testTime ?? createRedisClock()
  const shardMap = createShardMap(config.SHARDS, clock.now)
  const checkHealth = async () => {
    const missing = permissionsMonitor.missing()
    if (missing !== undefined) throw new Error(monitor.disconnectReason() ?? missing)
    await pingRedis(connection.client, monitor.unavailableReason)
    const unavailableReason = monitor.unavailableReason()
    if (unavailableReason !== undefined) throw new Error(unavailableReason)
  }
  const redisUser = { db: 'db' in target ? target.db : 0, username: target.username }
  const composed = await compose({
    ...{ ...options, connection, redisUser, clock, testTime, shardMap, checkHealth },
  })
  const { app, claimers, membership, sender, shardSync, permissionsMonitor, wake, wakeAll, measured } =
    composed
  const { events, pauses, traffic, runner, actLog, clockFollower } = composed
  listenForWakes(wakeConnection, config.NAMESPACE, {
    onWake: wake,
    onHelp: (shard) => claimers.help(shard),
    onPauses: pauses.heard,
    onEvents: (what) => events.onPublished(what),
    ...(clockFollower === undefined ? {} : { onClock: clockFollower.hear }),
    onGap: wakeAll,
  })

  const stop = async ({ graceMs }: { graceMs: number }) => {
    const deregistered = membership.stop()
    const clockLeft = clockFollower?.stop()
    shardSync.stop()
    pauses.stop()
    permissionsMonitor.stop()
    const closed = new AbortController()
    const forceClose = sleep(graceMs, closed.signal).then(() => app.server.closeAllConnections())
    await Promise.all([app.close().then(() => closed.abort()), claimers.stop({ graceMs }), runner.stop()])
    await forceClose
    await actLog.close()
    await events.stop()
    monitor.stop()
    await Promise.all([deregistered, clockLeft, traffic.stop()])
    await Promise.all([connection.close(), wakeConnection.close(), sender.close()])
  }
  let warned: readonly string[] = []
  const checkRedis = async () => {
    const facts = { allowEviction: config.ALLOW_EVICTION }
    const warnings = await checkRequirements(connection.client, facts)
    // A check that fails is repeated.
    for (const warning of warnings) if (!warned.includes(warning)) logger.warn(warning)
    warned = warnings
    await permissionsMonitor.checkAll()
    permissionsMonitor.start()
    await clockFollower?.read()
    await shardSync.sync()
    await clockFollower?.join()
    // The scripts go by what each shard knows: no shard has to wait for another.
    await pauses.sync().catch(() => undefined)
    pauses.start()
    shardSync.start()
    membership.start()
    traffic.start()
    events.start()
    if (config.ROLES.includes('worker')) claimers.start()
    runner.start()
    wakeAll()
  }
  const monitor = monitorRedis({
    ...{ connection, check: checkRedis, logger },
    loggedReason: permissionsMonitor.missing,
    onDisconnected() {
      warned = []
      onDisconnected()
    },
  })
  try {
    await waitForFirstCheck(monitor, options, permissionsMonitor.missing)
    const url = await app.listen({
      host: config.HOST,
      port: config.PORT,
      listenTextResolver: (address) => `listening on ${address}`,
    })
    warnIfUnauthenticated(options)
    return { url, measured, stop }
  } catch (error) {
    monitor.stop()
    await stop({ graceMs: 0 })
    throw error
  }
}

/** Without keys, every client that reaches the address may do everything: an operator has to know. */
function warnIfUnauthenticated({ config, logger }: ServerOptions): void {
  if (config.API_KEYS !== undefined) return
  if (isLoopback(config.HOST))
    logger.info('API_KEYS is not set: authentication is disabled for local clients')
  else
    logger.warn(
      'ALLOW_OPEN is true and API_KEYS is not set: authentication is disabled for everyone who ' +
        `can reach ${config.HOST}`,
    )
}

/**
 * Waits a while for Redis. Without it the server starts all the same.
 * @throws UnsupportedRedisError when Redis is there and not fit, or refuses the credentials
 */
async function waitForFirstCheck(
  monitor: RedisMonitor,
  { target, logger, onUnsupported }: ServerOptions,
  loggedReason: () => string | undefined,
): Promise<void> {
  const timeLimit = new AbortController()
  const isChecked = await Promise.race([
    monitor.firstCheck.then(() => true),
    sleep(WAIT_FOR_REDIS_MS, timeLimit.signal).then(() => false),
  ])
  timeLimit.abort()
  if (isChecked) return
  const why = monitor.unavailableReason() ?? ''
  if (why.includes('sentinels are unreachable') && REFUSED.test(why)) {
    const hasOwn = target.kind === 'sentinel' && target.sentinelCredentials !== undefined
    throw new UnsupportedRedisError(
      hasOwn
        ? `the sentinels refused SENTINEL_USERNAME and SENTINEL_PASSWORD: ${why}`
        : 'the sentinels need other credentials than those in REDIS_URL; set SENTINEL_USERNAME and ' +
            `SENTINEL_PASSWORD: ${why}`,
    )
  }
  if (REFUSED.test(why)) {
    throw new UnsupportedRedisError(`Redis refused the credentials in REDIS_URL: ${why}`)
  }
  if (why.includes('DB index is out of range')) {
    const db = 'db' in target ? target.db : 0
    throw new UnsupportedRedisError(`REDIS_URL names database ${db}, which this Redis does not have: ${why}`)
  }
  if (loggedReason() === undefined)
    logger.error(`${why}; answering 503 until Redis is usable (${describeTarget(target)})`)
  monitor.firstCheck.catch(onUnsupported)
}
