import type { FieldError } from '../validation/validation.ts'
import type { ProblemCode } from './problem-code.ts'

/** What a client is told of a failure, in both forms of an error. */
export interface ErrorReply {
  readonly status: number
  /** in words; names the field if one is wrong */
  readonly detail: string
  /** the same in the words of the original service, where they differ */
  readonly plainDetail?: string
  /** what programs tell failures apart by; absent for the code of the status */
  readonly code?: ProblemCode
  /** the last part of the URN that is the problem's type; absent for about:blank */
  readonly type?: string
  readonly errors?: readonly FieldError[]
  /** when it makes sense to try again, s */
  readonly retryAfter?: number
  /** headers that belong to it */
  readonly headers?: Readonly<Record<string, string>>
  /** additional members of the problem */
  readonly members?: Readonly<Record<string, unknown>>
}

/** An error that says itself what the client is told. */
export class HttpError extends Error {
  override readonly name = 'HttpError'
  readonly reply: ErrorReply

  constructor(reply: ErrorReply, options?: ErrorOptions) {
    super(reply.detail, options)
    this.reply = reply
  }
}
