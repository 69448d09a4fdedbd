import { SchedulerError } from '../errors.ts'

/** Redis's own words for "not now": nothing was written, and it passes by itself. */
const PASSING =
  /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|MISCONF|BUSY|UNBLOCKED|MOVED|ASK)\b/

/**
 * Turns what ioredis rejects with into what callers act on.
 *
 * @returns STORE_FULL for OOM; STORE_UNAVAILABLE for lost, refused or timed-out connections and for
 *   Redis's passing states; otherwise, as it is a bug, an Error that names the script
 */
export function toSchedulerError(script: string, error: unknown): Error {
  const cause = error instanceof Error ? error : new Error(String(error))
  if (cause.message.startsWith('OOM')) {
    return new SchedulerError('STORE_FULL', 'Redis is out of memory', { cause })
  }
  if (cause.name !== 'ReplyError' || PASSING.test(cause.message)) {
    return new SchedulerError('STORE_UNAVAILABLE', `Redis did not answer: ${cause.message}`, { cause })
  }
  return new Error(`${script}.lua: ${cause.message}`, { cause })
}
