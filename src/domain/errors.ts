/**
 * Errors that a caller can act on. Anything else is a bug and stays an ordinary Error.
 *
 * - STORE_UNAVAILABLE   Redis did not confirm in time; the call may or may not have been executed
 * - STORE_FULL          Redis is out of memory and refused; nothing was stored
 * - STORE_REFUSED       Redis refuses until an operator changes it: a missing permission, a key of the wrong type; the
 *   message says which, and nothing was stored
 * - DUE_TIME_PASSED     the message had to be due in the future, but is not, by Redis's clock
 * - NOT_AFTER_TOO_SOON  not-after is before the due time
 * - ON_LATE_WITHOUT_NOT_AFTER   on-late without not-after
 * - ID_CONFLICT         the id is in use with different content
 * - MESSAGE_NOT_FOUND   no message has this id
 * - MESSAGE_CLAIMED     it is being delivered
 * - MESSAGE_FINISHED    it was delivered or dropped
 * - PAYLOAD_FORGOTTEN   it is finished, and the history does not have its payload
 * - MESSAGE_DAMAGED     another program changed its record in Redis; it can only be shown and deleted
 * - CLOCK_BUSY          another act changes the test clock
 * - VERSION_MISMATCH    its version is not one that the caller accepts
 * - PAUSE_NOT_FOUND     nothing is paused under this target
 * - PAUSE_ENDED         its end is not in the future, by Redis's clock
 * - TOO_MANY_PASSES     as many paused messages as may wait to be delivered all the same
 * - TOO_MANY_PAUSES     as many are paused as may be
 * - OPERATION_NOT_FOUND no operation has this id
 * - LIMIT_REACHED       as many operations run as may run at a time
 */
export type ErrorCode =
  | 'STORE_UNAVAILABLE'
  | 'STORE_FULL'
  | 'STORE_REFUSED'
  | 'DUE_TIME_PASSED'
  | 'NOT_AFTER_TOO_SOON'
  | 'ON_LATE_WITHOUT_NOT_AFTER'
  | 'ID_CONFLICT'
  | 'MESSAGE_NOT_FOUND'
  | 'MESSAGE_CLAIMED'
  | 'MESSAGE_FINISHED'
  | 'PAYLOAD_FORGOTTEN'
  | 'MESSAGE_DAMAGED'
  | 'CLOCK_BUSY'
  | 'VERSION_MISMATCH'
  | 'PAUSE_NOT_FOUND'
  | 'PAUSE_ENDED'
  | 'TOO_MANY_PASSES'
  | 'TOO_MANY_PAUSES'
  | 'OPERATION_NOT_FOUND'
  | 'LIMIT_REACHED'

export class SchedulerError extends Error {
  override readonly name = 'SchedulerError'
  readonly code: ErrorCode
  /** STORE_UNAVAILABLE only: whether Redis may have done what was asked all the same */
  readonly outcomeUnknown: boolean
  /** STORE_UNAVAILABLE only: the id that a new message has if it was stored, by which its client can ask */
  readonly id: string | undefined
  /** STORE_UNAVAILABLE only: whether it was the time that was up, and no answer that came */
  readonly timedOut: boolean

  constructor(code: ErrorCode, message: string, options: SchedulerErrorOptions = {}) {
    super(message, options)
    this.code = code
    this.outcomeUnknown = options.outcomeUnknown ?? false
    this.id = options.id
    this.timedOut = options.timedOut ?? false
  }
}

export interface SchedulerErrorOptions extends ErrorOptions {
  readonly outcomeUnknown?: boolean
  readonly id?: string | undefined
  readonly timedOut?: boolean
}

/** Whether Redis could not be asked just now, or refused, and said so before the time was up. */
export const failedImmediately = (error: unknown): boolean =>
  error instanceof SchedulerError &&
  ((error.code === 'STORE_UNAVAILABLE' && !error.timedOut) || error.code === 'STORE_REFUSED')
