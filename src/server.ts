import { randomBytes } from 'node:crypto'
import type { Logger } from 'pino'
import { buildApp } from './app.ts'
import { type ClaimLoop, createClaimLoop } from './claim/claim-loop.ts'
import type { Config } from './config.ts'
import type { Destination } from './deliver/deliver.ts'
import { connect, type RedisConnection } from './redis/connect.ts'
import { createRedisClock, type RedisClock } from './redis/redis-clock.ts'
import {
  checkRequirements,
  checkShardCount,
  pingRedis,
  readRedisClock,
  UnfitRedisError,
} from './redis/requirements.ts'
import { createScripts } from './redis/scripts.ts'
import { describeTarget, type RedisTarget } from './redis/url.ts'
import { listenForWakes } from './redis/wake-listener.ts'
import { createGroupCommit } from './schedule/group-commit.ts'
import { createScheduler } from './schedule/scheduler.ts'
import { sleep } from './sleep.ts'

/** A start waits this long for Redis before it answers requests without it. */
const WAIT_FOR_REDIS_MS = 1_500

export interface ServerOptions {
  readonly config: Config
  readonly target: RedisTarget
  readonly console: Destination
  readonly logger: Logger
  /** told when Redis, once there, turns out not to be fit for messages; the process has to end */
  readonly onUnfit: (error: UnfitRedisError) => void
  /** told when Redis went away */
  readonly onAway?: () => void
}

export interface Server {
  /** where it listens, e.g. http://127.0.0.1:3000 */
  readonly url: string
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
  const { config, target, logger } = options
  const connection = connect(target)
  const wakeConnection = config.ROLES.includes('worker') ? connect(target) : undefined
  const clock = createRedisClock()
  const { app, claimLoop } = await compose(options, connection, clock)
  if (wakeConnection !== undefined) listenForWakes(wakeConnection, config.NAMESPACE, claimLoop.wake)

  const closeRedis = async () => {
    await Promise.all([connection.close(), wakeConnection?.close()])
  }
  const lookAtRedis = async () => {
    const warnings = await checkRequirements(connection.client, { allowEviction: config.ALLOW_EVICTION })
    for (const warning of warnings) logger.warn(warning)
    await checkShardCount(connection.client, config.NAMESPACE, config.SHARDS)
    clock.observe(await readRedisClock(connection.client))
    if (config.ROLES.includes('worker')) claimLoop.start()
    claimLoop.wakeAll()
  }
  const firstLook = watchConnection(connection, options, lookAtRedis)
  try {
    await untilLookedAt(firstLook, connection, options)
    const url = await app.listen({
      host: config.HOST,
      port: config.PORT,
      listenTextResolver: (address) => `listening on ${address}`,
    })
    return {
      url,
      async stop({ graceMs }) {
        const closed = new AbortController()
        const hurry = sleep(graceMs, closed.signal).then(() => app.server.closeAllConnections())
        await Promise.all([app.close().then(() => closed.abort()), claimLoop.stop({ graceMs })])
        await hurry
        await closeRedis()
      },
    }
  } catch (error) {
    await claimLoop.stop({ graceMs: 0 })
    await closeRedis()
    throw error
  }
}

async function compose(
  { config, console, logger }: ServerOptions,
  connection: RedisConnection,
  clock: RedisClock,
) {
  const scripts = createScripts(connection.client, { namespace: config.NAMESPACE })
  const serverId = randomBytes(9).toString('base64url')
  let claims = 0
  const claimLoop: ClaimLoop = createClaimLoop({
    scripts,
    clock,
    destination: console,
    logger,
    shards: config.SHARDS,
    limit: config.CLAIM_BATCH,
    lockMs: config.LOCK_TTL_MS,
    nextToken: () => `${serverId}:${++claims}`,
  })
  const groupCommit = createGroupCommit({ scripts, clock, shards: config.SHARDS, onHead: claimLoop.wake })
  const app = await buildApp({
    ...(config.ROLES.includes('api') ? { scheduler: createScheduler(groupCommit) } : {}),
    checkHealth: () => pingRedis(connection.client, connection.whyAway),
    logger,
  })
  return { app, claimLoop }
}

/**
 * Says once that Redis went away and once that it is back, and looks at it whenever it is there: it may be another one.
 * @returns settles with the first look; later ones end in `onUnfit`
 */
function watchConnection(
  connection: RedisConnection,
  { logger, onUnfit, onAway }: ServerOptions,
  lookAtRedis: () => Promise<void>,
): Promise<void> {
  let looks = 0
  return new Promise((resolve, reject) => {
    const look = () => {
      looks += 1
      const isFirst = looks === 1
      if (!isFirst) logger.info('Redis is back')
      lookAtRedis().then(resolve, (error: unknown) => {
        if (error instanceof UnfitRedisError) return isFirst ? reject(error) : onUnfit(error)
        logger.error({ err: error }, 'Redis went away again while it was being looked at')
      })
    }
    connection.onStateChange((state) => {
      if (state === 'ready') return look()
      logger.error(connection.whyAway())
      onAway?.()
    })
  })
}

/**
 * Waits a while for Redis. Without it the server starts all the same.
 * @throws UnfitRedisError when Redis is there and not fit, or refuses the credentials
 */
async function untilLookedAt(
  firstLook: Promise<void>,
  connection: RedisConnection,
  { target, logger, onUnfit }: ServerOptions,
): Promise<void> {
  const giveUp = new AbortController()
  const looked = await Promise.race([
    firstLook.then(() => true),
    sleep(WAIT_FOR_REDIS_MS, giveUp.signal).then(() => false),
  ])
  giveUp.abort()
  if (looked) return
  const why = connection.whyAway()
  if (/WRONGPASS|NOAUTH|invalid password/.test(why)) {
    throw new UnfitRedisError(`Redis refused the credentials in REDIS_URL: ${why}`)
  }
  logger.error(`${why}; answering 503 until it is there (${describeTarget(target)})`)
  firstLook.catch(onUnfit)
}
