import type { Logger } from 'pino'
import { fulfilledValues } from '../runtime/time-limit.ts'
import type { MissingPermissions, Permissions } from '../store/permissions.ts'

const CHECK_EVERY_MS = 2_500
/** Timer ticks without a check while no permission is missing: an idle server costs Redis almost nothing. */
const SKIPPED_CHECKS = 3

/** Tracks the permissions that the Redis user of this server lacks. */
export interface PermissionsMonitor {
  /**
   * Checks them in every shard, and logs what has changed.
   * @throws Error when Redis does not answer
   */
  checkAll(): Promise<void>
  /** The missing required permissions and how to grant them, in one line; undefined if there are none. */
  missing(): string | undefined
  /**
   * Checks one shard every 10 s, in turn, or all shards every 2.5 s while a permission is missing. Idempotent.
   */
  start(): void
  /** Idempotent; may be called before start(). */
  stop(): void
}

export interface PermissionsMonitorDeps {
  readonly permissions: Permissions
  readonly shards: () => number
  readonly logger: Pick<Logger, 'error' | 'warn' | 'info'>
}

export function createPermissionsMonitor({
  permissions,
  shards,
  logger,
}: PermissionsMonitorDeps): PermissionsMonitor {
  let timer: NodeJS.Timeout | undefined
  let missing: MissingPermissions = { required: [], optional: [] }
  let nextShard = 0
  let skipped = 0

  const sentence = (names: readonly string[]) =>
    `the Redis user lacks required permissions: ${names.join(' ')}; grant all with: ${permissions.rule}`

  function record(found: MissingPermissions): void {
    const changed = (kind: keyof MissingPermissions) => found[kind].join(' ') !== missing[kind].join(' ')
    const requiredChanged = changed('required')
    const optionalChanged = changed('optional')
    missing = found
    if (requiredChanged && found.required.length > 0) logger.error(sentence(found.required))
    if (requiredChanged && found.required.length === 0)
      logger.info('the Redis user has all required permissions')
    if (optionalChanged && found.optional.length > 0)
      logger.warn(
        `the Redis user lacks ${found.optional.join(' ')}: without +info there are fewer checks and statistics, ` +
          'without +xadd or keys messages for streams are not delivered, without any of the others there are no ' +
          `events; grant all with: ${permissions.rule}`,
      )
  }

  async function checkAll(): Promise<void> {
    const found = await fulfilledValues(
      Array.from({ length: shards() }, (_, shard) => permissions.check(shard)),
    )
    const union = (kind: keyof MissingPermissions) => [...new Set(found.flatMap((each) => each[kind]))].sort()
    record({ required: union('required'), optional: union('optional') })
  }

  async function checkNext(): Promise<void> {
    if (missing.required.length + missing.optional.length > 0) return checkAll()
    skipped = (skipped + 1) % (SKIPPED_CHECKS + 1)
    if (skipped > 0) return
    nextShard = (nextShard + 1) % shards()
    const found = await permissions.check(nextShard)
    // Other shards may lack it too.
    if (found.required.length + found.optional.length > 0) await checkAll()
  }

  return {
    checkAll,
    missing: () => (missing.required.length === 0 ? undefined : sentence(missing.required)),
    start() {
      // The next check makes up for a failed one. Others log that Redis is away.
      timer ??= setInterval(() => void checkNext().catch(() => undefined), CHECK_EVERY_MS)
    },
    stop() {
      clearInterval(timer)
      timer = undefined
    },
  }
}
