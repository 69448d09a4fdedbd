import type { Logger } from 'pino'
import { sleep } from '../runtime/sleep.ts'
import type { RedisConnection } from '../store/connect.ts'
import { UnfitRedisError } from '../store/requirements.ts'

const FIRST_RETRY_MS = 100
const LONGEST_RETRY_MS = 2_500

export interface RedisWatch {
  /** Settles with the first look that came to an end. @throws UnfitRedisError when Redis must not be used */
  readonly firstLook: Promise<void>
  /** Why this server does not work with Redis for now, in one phrase; undefined when it does. */
  whyNot(): string | undefined
  /** The same, where the reason is that there is no connection. */
  whyAway(): string | undefined
  stop(): void
}

export interface RedisWatchOptions {
  readonly connection: RedisConnection
  /** Looks whether Redis can be used and sets to work with it. */
  readonly look: () => Promise<void>
  /** Why a look that failed could not succeed, where that is in the log already. */
  readonly whyToldOf: () => string | undefined
  readonly logger: Logger
  /** told when Redis went away */
  readonly onAway: () => void
}

/**
 * Looks at Redis whenever it is there anew, as it may be another one, again and again until that has worked; and says
 * once that it went away and once that it is back.
 *
 * A Redis found unfit at the start is not used. One that becomes so later is reported and used all the same: ending
 * every server that runs would harm more than what it warns of.
 */
export function watchRedis({ connection, look, whyToldOf, logger, onAway }: RedisWatchOptions): RedisWatch {
  const stopping = new AbortController()
  let arrivals = 0
  let isFirst = true
  let whyNot: string | undefined
  let away = true

  const firstLook = new Promise<void>((resolve, reject) => {
    const arrive = async () => {
      arrivals += 1
      const arrival = arrivals
      away = false
      whyNot = 'Redis has not been looked at yet'
      for (
        let wait = FIRST_RETRY_MS;
        arrival === arrivals && !away;
        wait = Math.min(wait * 2, LONGEST_RETRY_MS)
      ) {
        try {
          await look()
        } catch (error) {
          if (!(error instanceof UnfitRedisError)) {
            const told = whyToldOf()
            const reason = told ?? (error instanceof Error ? error.message : String(error))
            if (wait === FIRST_RETRY_MS && told === undefined)
              logger.error(`Redis cannot be used yet: ${reason}; retrying`)
            whyNot = `Redis cannot be used: ${reason}`
            await sleep(wait, stopping.signal)
            if (stopping.signal.aborted) return
            continue
          }
          if (isFirst) return reject(error)
          logger.error(error.message)
        }
        if (!isFirst) logger.info('Redis is back')
        isFirst = false
        whyNot = undefined
        return resolve()
      }
    }
    connection.onStateChange((state) => {
      if (state === 'ready') return void arrive()
      away = true
      logger.error(connection.whyAway())
      onAway()
    })
    if (connection.isReady()) void arrive()
  })
  // Whoever waits for it hears of it; nobody need.
  firstLook.catch(() => undefined)

  return {
    firstLook,
    whyNot: () => (away ? connection.whyAway() : whyNot),
    whyAway: () => (away ? connection.whyAway() : undefined),
    stop: () => stopping.abort(),
  }
}
