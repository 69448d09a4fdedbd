import { SchedulerError } from '../domain/errors.ts'

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
 *   states, `perhapsDone` unless the error says by itself that the command was not sent or not run; STORE_REFUSED, in
 *   words for people, for every other reply
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
  return new SchedulerError('STORE_REFUSED', refusalOf(command, reply), { cause })
}

/** What scripts answer before they write anything, see preflight.ts; and what Redis says of commands and, since 7.2, scripts. */
const LACKS_RIGHT = /^NOPERM (\+\S+)$/
const LACKS_COMMAND = /^(?:NOPERM|ERR ACL failure) .*\brun the '([^']+)' command/
const LACKS_KEY = /^NOPERM .*\bkeys?\b/
const LACKS_CHANNEL = /^NOPERM .*\bchannels?\b/
/** Of a command within a script that the script does not ask about before. */
const SCRIPT_LACKS = /^ERR (?:The user executing the script can't|ACL failure in script)/

/** What is said to be lacking where Redis does not say which key it refuses. */
export const LACKS_KEYS = 'access to its keys'

/** Which right of an ACL a reply says is lacking, in the form of an ACL rule; undefined if it says nothing of the kind. */
export function lackingRight(reply: string): string | undefined {
  const command = LACKS_RIGHT.exec(reply)?.[1] ?? LACKS_COMMAND.exec(reply)?.[1]
  if (command !== undefined) return command.startsWith('+') ? command : `+${command}`
  if (LACKS_KEY.test(reply)) return LACKS_KEYS
  if (LACKS_CHANNEL.test(reply)) return 'access to its channel'
  return SCRIPT_LACKS.test(reply) || reply.startsWith('NOPERM') ? 'a permission' : undefined
}

/** A reply that somebody has to do something about, in one clause. */
function refusalOf(command: string, reply: string): string {
  const right = lackingRight(reply)
  if (right !== undefined) return `Redis refuses ${command}: its user lacks ${right}`
  if (reply.startsWith('WRONGTYPE'))
    return `Redis refuses ${command}: one of Carillon's keys has the wrong type`
  return `Redis refuses ${command}: ${reply}`
}
