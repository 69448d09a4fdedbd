/**
 * What can go wrong in a way a caller acts on. Anything else is a bug and travels as an ordinary Error.
 *
 * - STORE_UNAVAILABLE  Redis did not confirm in time; the message may or may not be stored
 * - STORE_FULL         Redis is out of memory and refused; nothing was stored
 * - DUE_TIME_PASSED    the message had to be due in the future and no longer was, by Redis's clock
 */
export type ErrorCode = 'STORE_UNAVAILABLE' | 'STORE_FULL' | 'DUE_TIME_PASSED'

export class SchedulerError extends Error {
  override readonly name = 'SchedulerError'
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
