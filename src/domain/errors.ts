/**
 * What can go wrong in a way a caller acts on. Anything else is a bug and travels as an ordinary Error.
 *
 * - STORE_UNAVAILABLE   Redis did not confirm in time; what was asked may or may not have been done
 * - STORE_FULL          Redis is out of memory and refused; nothing was stored
 * - STORE_REFUSED       Redis refuses, and will until somebody changes it: a right that its user lacks, a key of another
 *                       type; the message says which, and nothing was stored
 * - DUE_TIME_PASSED     the message had to be due in the future and no longer was, by Redis's clock
 * - NOT_AFTER_TOO_SOON  a message's not-after would lie before its due time
 * - ON_LATE_WITHOUT_NOT_AFTER   on-late without not-after
 * - ID_CONFLICT         the id is in use with different content
 * - MESSAGE_NOT_FOUND   no message has this id
 * - MESSAGE_CLAIMED     it is being delivered
 * - MESSAGE_FINISHED    it was delivered or dropped
 * - MESSAGE_DAMAGED     what Redis holds of it was changed by somebody else, so that it can only be looked at and deleted
 * - VERSION_MISMATCH    it is not at a version the caller accepts
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
  | 'MESSAGE_DAMAGED'
  | 'VERSION_MISMATCH'

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
