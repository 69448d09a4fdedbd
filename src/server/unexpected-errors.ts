import type { Logger } from 'pino'

/** A stop that takes no longer than this beyond its grace ends by itself; one that was harmed may not. */
const STOP_ENDS_WITHIN_MS = 10_000

export interface UnexpectedOptions {
  readonly logger: Pick<Logger, 'fatal'>
  /** releases what this process holds, and resolves when nothing of it is running */
  readonly stop: () => Promise<void>
  readonly graceMs: number
}

/**
 * Ends the process in order, with exit code 1, on an uncaught exception or an unhandled rejection. Node would end it at
 * once, and its claims would wait until their locks expire.
 *
 * The first error is logged, in one line. Errors that follow while the process stops are most likely its consequence.
 */
export function stopOnUnexpectedErrors({ logger, stop, graceMs }: UnexpectedOptions): void {
  let isStopping = false
  const end = () => process.exit(1)
  const take = (error: unknown) => {
    process.exitCode = 1
    if (isStopping) return
    isStopping = true
    const err = error instanceof Error ? error : new Error(String(error))
    logger.fatal({ err }, 'unexpected error; stopping')
    setTimeout(end, graceMs + STOP_ENDS_WITHIN_MS).unref()
    stop().then(end, end)
  }
  // Node hands rejections on to the first as well, unless something listens for the second.
  process.on('uncaughtException', take)
}
