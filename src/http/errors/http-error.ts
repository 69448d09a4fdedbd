import type { ErrorReply } from './error-reply.ts'

/** An error that says itself what the client is told. */
export class HttpError extends Error {
  override readonly name = 'HttpError'
  readonly reply: ErrorReply

  constructor(reply: ErrorReply, options?: ErrorOptions) {
    super(reply.detail, options)
    this.reply = reply
  }
}
