import type { Logger } from 'pino'
import { answersOf } from '../runtime/time-limit.ts'
import type { LackingRights, Rights } from '../store/permissions.ts'

const LOOK_EVERY_MS = 2_500
/** Where all is there, so many are left out between two: an idle server costs Redis next to nothing. */
const LEFT_OUT = 3

/** Knows which rights the user lacks with which this server works, for as long as it lacks them. */
export interface RightsWatch {
  /**
   * Checks them in every shard, and logs what has changed.
   * @throws Error when Redis does not answer
   */
  look(): Promise<void>
  /** What is lacking and how to grant it, in one line; undefined for nothing that the service needs. */
  lacking(): string | undefined
  /**
   * Looks again and again: every 10 s in one shard after the other, or every 2.5 s in all while something is lacking.
   * Idempotent.
   */
  start(): void
  /** Safe before start and twice. */
  stop(): void
}

export interface RightsWatchDeps {
  readonly rights: Rights
  readonly shards: () => number
  readonly logger: Pick<Logger, 'error' | 'warn' | 'info'>
}

export function createRightsWatch({ rights, shards, logger }: RightsWatchDeps): RightsWatch {
  let timer: NodeJS.Timeout | undefined
  let lacking: LackingRights = { required: [], optional: [] }
  let nextShard = 0
  let leftOut = 0

  const sentence = (names: readonly string[]) =>
    `the Redis user lacks required permissions: ${names.join(' ')}; grant all with: ${rights.rule}`

  function record(found: LackingRights): void {
    const changed = (kind: keyof LackingRights) => found[kind].join(' ') !== lacking[kind].join(' ')
    const requiredChanged = changed('required')
    const optionalChanged = changed('optional')
    lacking = found
    if (requiredChanged && found.required.length > 0) logger.error(sentence(found.required))
    if (requiredChanged && found.required.length === 0)
      logger.info('the Redis user has all required permissions')
    if (optionalChanged && found.optional.length > 0)
      logger.warn(
        `the Redis user lacks ${found.optional.join(' ')}: without +info there are fewer checks and statistics, ` +
          `without the others messages for streams are not delivered; grant all with: ${rights.rule}`,
      )
  }

  async function look(): Promise<void> {
    const found = await answersOf(Array.from({ length: shards() }, (_, shard) => rights.check(shard)))
    const union = (kind: keyof LackingRights) => [...new Set(found.flatMap((each) => each[kind]))].sort()
    record({ required: union('required'), optional: union('optional') })
  }

  async function lookOnce(): Promise<void> {
    if (lacking.required.length + lacking.optional.length > 0) return look()
    leftOut = (leftOut + 1) % (LEFT_OUT + 1)
    if (leftOut > 0) return
    nextShard = (nextShard + 1) % shards()
    const found = await rights.check(nextShard)
    // What one shard shows may be so in others, too.
    if (found.required.length + found.optional.length > 0) await look()
  }

  return {
    look,
    lacking: () => (lacking.required.length === 0 ? undefined : sentence(lacking.required)),
    start() {
      // One that fails is made good by the next; that Redis is away others have logged.
      timer ??= setInterval(() => void lookOnce().catch(() => undefined), LOOK_EVERY_MS)
    },
    stop() {
      clearInterval(timer)
      timer = undefined
    },
  }
}
