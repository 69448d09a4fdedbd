import { SchedulerError } from '../errors.ts'

/** Redis's own words for "not now": nothing was written, and it passes by itself. */
const PASSING =
  /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|MISCONF|BUSY|UNBLOCKED|MOVED|ASK)\b/
/** ioredis's words for a command that it did not even send. */
export const NOT_SENT = /enableOfflineQueue options is false$/
/** In the same words, for a command that we did not send. */
export const NOT_READY = "Cluster isn't ready and enableOfflineQueue options is false"
/** What the cluster client puts before the last reply when it follows redirections no further. */
const REDIRECTED = /^Too many Cluster redirections\. Last error: ReplyError: /

/**
 * Turns what ioredis rejects with into what callers act on.
 *
 * @returns STORE_FULL for OOM; STORE_UNAVAILABLE for lost, refused or timed-out connections and for Redis's passing
 *   states, `perhapsDone` unless the error says by itself that the command was not sent or not run; otherwise, as it is a
 *   bug, an Error that names the script or command
 */
export function toSchedulerError(command: string, error: unknown): Error {
  const cause = error instanceof Error ? error : new Error(String(error))
  const reply = cause.message.replace(REDIRECTED, '')
  if (reply.startsWith('OOM')) {
    return new SchedulerError('STORE_FULL', 'Redis is out of memory', { cause })
  }
  const passing = PASSING.test(reply)
  if (cause.name !== 'ReplyError' || passing) {
    return new SchedulerError('STORE_UNAVAILABLE', `Redis did not answer: ${cause.message}`, {
      cause,
      perhapsDone: !passing && !NOT_SENT.test(cause.message),
    })
  }
  return new Error(`${command}: ${cause.message}`, { cause })
}
