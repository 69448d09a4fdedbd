import type { Logger } from 'pino'
import type { Destination } from '../destinations/delivery.ts'
import type { Gather, Measured } from '../observability/prometheus.ts'
import { sleep } from '../runtime/sleep.ts'
import { createShardBook } from '../shards/shard-map.ts'
import { connect, connectToHear } from '../store/connect.ts'
import { createRedisClock } from '../store/redis-clock.ts'
import { describeTarget, type RedisTarget } from '../store/redis-url.ts'
import { checkRequirements, pingRedis, UnfitRedisError } from '../store/requirements.ts'
import { listenForWakes } from '../store/wake-listener.ts'
import { compose } from './compose.ts'
import { type Config, isLoopback } from './config.ts'
import { type RedisWatch, watchRedis } from './redis-monitor.ts'

/** A start waits this long for Redis before it answers requests without it. */
const WAIT_FOR_REDIS_MS = 1_500

/** What is said of credentials. */
const REFUSED = /WRONGPASS|NOAUTH|invalid password/

export interface ServerOptions {
  readonly config: Config
  readonly target: RedisTarget
  readonly console: Destination
  readonly logger: Logger
  /** told when Redis, once there, turns out not to be fit for messages; the process has to end */
  readonly onUnfit: (error: UnfitRedisError) => void
  /** told when Redis went away */
  readonly onAway?: () => void
  /** where several processes are one service: what all of them have measured */
  readonly gatherMeasured?: Gather
}

export interface Server {
  /** where it listens, e.g. http://127.0.0.1:3000 */
  readonly url: string
  /** what it and its process have measured so far */
  measured(): Promise<Measured>
  /**
   * Accepts and claims no more, finishes what is claimed within the grace, hands back the rest.
   * @returns once nothing of it is running
   */
  stop(options: { graceMs: number }): Promise<void>
}

/**
 * Starts one server: the HTTP side, the claim loop, or both, on one Redis.
 *
 * It also starts while Redis is away: requests are answered 503 until Redis is there.
 *
 * @throws UnfitRedisError when Redis must not be trusted with messages
 * @throws Error when the address cannot be listened on
 */
export async function startServer(options: ServerOptions): Promise<Server> {
  const { config, target, logger, onAway = () => undefined } = options
  const connection = connect(target)
  const wakeConnection = connectToHear(target)
  const clock = createRedisClock()
  const shardBook = createShardBook(config.SHARDS, clock.now)
  const checkHealth = async () => {
    const lacking = rightsWatch.lacking()
    if (lacking !== undefined) throw new Error(watch.whyAway() ?? lacking)
    await pingRedis(connection.client, watch.whyNot)
    const whyNot = watch.whyNot()
    if (whyNot !== undefined) throw new Error(whyNot)
  }
  const redisUser = { db: 'db' in target ? target.db : 0, username: target.username }
  const { app, claimLoop, roster, sender, shardWatch, rightsWatch, wake, wakeAll, measured } = await compose({
    ...{ ...options, connection, redisUser, clock, shardBook, checkHealth },
  })
  listenForWakes(wakeConnection, config.NAMESPACE, { onWake: wake, onHelp: claimLoop.help, onGap: wakeAll })

  const closeRedis = async () => {
    await Promise.all([connection.close(), wakeConnection.close(), sender.close()])
  }
  let warned: readonly string[] = []
  const lookAtRedis = async () => {
    const facts = { allowEviction: config.ALLOW_EVICTION }
    const warnings = await checkRequirements(connection.client, facts)
    // A look that fails is made again and again.
    for (const warning of warnings) if (!warned.includes(warning)) logger.warn(warning)
    warned = warnings
    await rightsWatch.look()
    rightsWatch.start()
    await shardWatch.look()
    shardWatch.start()
    roster.start()
    if (config.ROLES.includes('worker')) claimLoop.start()
    wakeAll()
  }
  const watch = watchRedis({
    ...{ connection, look: lookAtRedis, logger },
    whyToldOf: rightsWatch.lacking,
    onAway() {
      warned = []
      onAway()
    },
  })
  try {
    await untilLookedAt(watch, options, rightsWatch.lacking)
    const url = await app.listen({
      host: config.HOST,
      port: config.PORT,
      listenTextResolver: (address) => `listening on ${address}`,
    })
    sayWhoMayComeIn(options)
    return {
      url,
      measured,
      async stop({ graceMs }) {
        const left = roster.stop()
        shardWatch.stop()
        rightsWatch.stop()
        const closed = new AbortController()
        const hurry = sleep(graceMs, closed.signal).then(() => app.server.closeAllConnections())
        await Promise.all([app.close().then(() => closed.abort()), claimLoop.stop({ graceMs })])
        await hurry
        watch.stop()
        await left
        await closeRedis()
      },
    }
  } catch (error) {
    watch.stop()
    await claimLoop.stop({ graceMs: 0 })
    shardWatch.stop()
    rightsWatch.stop()
    await roster.stop()
    await closeRedis()
    throw error
  }
}

/** Without keys everyone who reaches the address may do everything, which has to be meant. */
function sayWhoMayComeIn({ config, logger }: ServerOptions): void {
  if (config.API_KEYS !== undefined) return
  if (isLoopback(config.HOST))
    logger.info('API_KEYS is not set: authentication is disabled for local clients')
  else
    logger.warn(
      'ALLOW_OPEN is true and API_KEYS is not set: authentication is disabled for everyone who can reach ' +
        `${config.HOST}`,
    )
}

/**
 * Waits a while for Redis. Without it the server starts all the same.
 * @throws UnfitRedisError when Redis is there and not fit, or refuses the credentials
 */
async function untilLookedAt(
  watch: RedisWatch,
  { target, logger, onUnfit }: ServerOptions,
  whyToldOf: () => string | undefined,
): Promise<void> {
  const giveUp = new AbortController()
  const looked = await Promise.race([
    watch.firstLook.then(() => true),
    sleep(WAIT_FOR_REDIS_MS, giveUp.signal).then(() => false),
  ])
  giveUp.abort()
  if (looked) return
  const why = watch.whyNot() ?? ''
  if (why.includes('sentinels are unreachable') && REFUSED.test(why)) {
    const hasOwn = target.kind === 'sentinel' && target.sentinelCredentials !== undefined
    throw new UnfitRedisError(
      hasOwn
        ? `the sentinels refused SENTINEL_USERNAME and SENTINEL_PASSWORD: ${why}`
        : 'the sentinels need other credentials than those in REDIS_URL; set SENTINEL_USERNAME and ' +
            `SENTINEL_PASSWORD: ${why}`,
    )
  }
  if (REFUSED.test(why)) {
    throw new UnfitRedisError(`Redis refused the credentials in REDIS_URL: ${why}`)
  }
  if (why.includes('DB index is out of range')) {
    const db = 'db' in target ? target.db : 0
    throw new UnfitRedisError(`REDIS_URL names database ${db}, which this Redis does not have: ${why}`)
  }
  if (whyToldOf() === undefined)
    logger.error(`${why}; answering 503 until Redis is usable (${describeTarget(target)})`)
  watch.firstLook.catch(onUnfit)
}
