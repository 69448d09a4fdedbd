import type { Logger } from 'pino'
import { sleep } from '../runtime/sleep.ts'
import type { RedisConnection } from '../store/connect.ts'
import { UnsupportedRedisError } from '../store/requirements.ts'

const FIRST_RETRY_MS = 100
const LONGEST_RETRY_MS = 2_500

export interface RedisMonitor {
  /** Settles with the first check that completes. @throws UnsupportedRedisError when Redis must not be used */
  readonly firstCheck: Promise<void>
  /** Why Redis is unavailable to this server, in one phrase; undefined if it is available. */
  unavailableReason(): string | undefined
  /** The same, if the reason is that there is no connection. */
  disconnectReason(): string | undefined
  stop(): void
}

export interface RedisMonitorOptions {
  readonly connection: RedisConnection
  /** Checks whether Redis can be used, and starts working with it. */
  readonly check: () => Promise<void>
  /** The reason for a failed check, if it was logged already. */
  readonly loggedReason: () => string | undefined
  readonly logger: Logger
  /** called when the connection is lost */
  readonly onDisconnected: () => void
}

/**
 * Checks Redis after every (re)connection, as it may be another one, until a check succeeds. Logs once when Redis goes
 * away and once when it is back.
 *
 * A Redis that does not meet the requirements at the start is not used. If it stops meeting them later, that is
 * reported and it is still used: ending all servers would do more harm.
 */
export function monitorRedis({
  connection,
  check,
  loggedReason,
  logger,
  onDisconnected,
}: RedisMonitorOptions): RedisMonitor {
  const stopping = new AbortController()
  let connections = 0
  let isFirst = true
  let reasonNow: string | undefined
  let isDisconnected = true

  const firstCheck = new Promise<void>((resolve, reject) => {
    const connected = async () => {
      connections += 1
      const connectionNumber = connections
      isDisconnected = false
      reasonNow = 'Redis has not been looked at yet'
      for (
        let wait = FIRST_RETRY_MS;
        connectionNumber === connections && !isDisconnected;
        wait = Math.min(wait * 2, LONGEST_RETRY_MS)
      ) {
        try {
          await check()
        } catch (error) {
          if (!(error instanceof UnsupportedRedisError)) {
            const logged = loggedReason()
            const reason = logged ?? (error instanceof Error ? error.message : String(error))
            if (wait === FIRST_RETRY_MS && logged === undefined)
              logger.error(`Redis cannot be used yet: ${reason}; retrying`)
            reasonNow = `Redis cannot be used: ${reason}`
            await sleep(wait, stopping.signal)
            if (stopping.signal.aborted) return
            continue
          }
          if (isFirst) return reject(error)
          logger.error(error.message)
        }
        if (!isFirst) logger.info('Redis is back')
        isFirst = false
        reasonNow = undefined
        return resolve()
      }
    }
    connection.onStateChange((state) => {
      if (state === 'ready') return void connected()
      isDisconnected = true
      logger.error(connection.unavailableReason())
      onDisconnected()
    })
    if (connection.isReady()) void connected()
  })
  // Callers that wait for it get the error; there may be none.
  firstCheck.catch(() => undefined)

  return {
    firstCheck,
    unavailableReason: () => (isDisconnected ? connection.unavailableReason() : reasonNow),
    disconnectReason: () => (isDisconnected ? connection.unavailableReason() : undefined),
    stop: () => stopping.abort(),
  }
}
