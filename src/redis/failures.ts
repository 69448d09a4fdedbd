import { SchedulerError } from '../errors.ts'

/** Redis's own words for "not now": nothing was written, and it passes by itself. */
const PASSING =
  /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|MISCONF|BUSY|UNBLOCKED|MOVED|ASK)\b/
/** ioredis's words for a command that it did not even send. */
export const NOT_SENT = /enableOfflineQueue options is false$/

/**
 * Turns what ioredis rejects with into what callers act on.
 *
 * @param unanswered whether it was sent without an answer; unless given, all that ioredis does not say it never sent
 * @returns STORE_FULL for OOM; STORE_UNAVAILABLE for lost, refused or timed-out connections and for
 *   Redis's passing states; otherwise, as it is a bug, an Error that names the script or command
 */
export function toSchedulerError(command: string, error: unknown, unanswered?: boolean): Error {
  const cause = error instanceof Error ? error : new Error(String(error))
  if (cause.message.startsWith('OOM')) {
    return new SchedulerError('STORE_FULL', 'Redis is out of memory', { cause })
  }
  const passing = PASSING.test(cause.message)
  if (cause.name !== 'ReplyError' || passing) {
    const perhapsDone = !passing && (unanswered ?? !NOT_SENT.test(cause.message))
    return new SchedulerError('STORE_UNAVAILABLE', `Redis did not answer: ${cause.message}`, {
      cause,
      perhapsDone,
    })
  }
  return new Error(`${command}: ${cause.message}`, { cause })
}
