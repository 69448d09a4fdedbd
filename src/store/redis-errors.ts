import { SchedulerError } from '../domain/errors.ts'

/** Redis's errors for a passing state: nothing was written. */
const TRANSIENT =
  /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|MISCONF|BUSY|UNBLOCKED|MOVED|ASK)\b/
/** ioredis's error for a command that was not sent. */
export const NOT_SENT = /enableOfflineQueue options is false$/
/** The same words for a command that we did not send. */
export const NOT_READY = "Cluster isn't ready and enableOfflineQueue options is false"
/** What the cluster client puts before the last reply when it stops following redirections. */
const REDIRECTED = /^Too many Cluster redirections\. Last error: ReplyError: /

/**
 * Turns errors of ioredis into errors that callers act on.
 *
 * @returns STORE_FULL for OOM; STORE_UNAVAILABLE for lost, refused or timed-out connections and for Redis's passing
 *   states, with `outcomeUnknown` unless the error proves that the command was not sent or not run; STORE_REFUSED, with
 *   a readable message, for every other reply
 */
export function toSchedulerError(command: string, error: unknown): Error {
  const cause = error instanceof Error ? error : new Error(String(error))
  const reply = cause.message.replace(REDIRECTED, '')
  if (reply.startsWith('OOM')) {
    return new SchedulerError('STORE_FULL', 'Redis is out of memory', { cause })
  }
  const isTransient = TRANSIENT.test(reply)
  if (cause.name !== 'ReplyError' || isTransient) {
    return new SchedulerError('STORE_UNAVAILABLE', `Redis did not answer: ${cause.message}`, {
      cause,
      outcomeUnknown: !isTransient && !NOT_SENT.test(cause.message),
    })
  }
  return new SchedulerError('STORE_REFUSED', refusalOf(command, reply), { cause })
}

/**
 * What scripts answer before they write, see preflight.ts; and what Redis answers to commands and, since 7.2, scripts.
 */
const MISSING_PERMISSION = /^NOPERM (\+\S+)$/
const MISSING_COMMAND = /^(?:NOPERM|ERR ACL failure) .*\brun the '([^']+)' command/
const MISSING_KEY = /^NOPERM .*\bkeys?\b/
const MISSING_CHANNEL = /^NOPERM .*\bchannels?\b/
/** A command in a script that the preflight does not check. */
const SCRIPT_MISSING = /^ERR (?:The user executing the script can't|ACL failure in script)/

/** The missing permission if Redis does not say which key it refuses. */
export const MISSING_KEYS = 'access to its keys'

/** The missing permission in the form of an ACL rule; undefined if the reply is about something else. */
export function missingPermission(reply: string): string | undefined {
  const command = MISSING_PERMISSION.exec(reply)?.[1] ?? MISSING_COMMAND.exec(reply)?.[1]
  if (command !== undefined) return command.startsWith('+') ? command : `+${command}`
  if (MISSING_KEY.test(reply)) return MISSING_KEYS
  if (MISSING_CHANNEL.test(reply)) return 'access to its channel'
  return SCRIPT_MISSING.test(reply) || reply.startsWith('NOPERM') ? 'a permission' : undefined
}

/** A reply that an operator has to act on, in one clause. */
function refusalOf(command: string, reply: string): string {
  const permission = missingPermission(reply)
  if (permission !== undefined) return `Redis refuses ${command}: its user lacks ${permission}`
  if (reply.startsWith('WRONGTYPE'))
    return `Redis refuses ${command}: one of Carillon's keys has the wrong type`
  return `Redis refuses ${command}: ${reply}`
}
