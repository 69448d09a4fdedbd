import type { Socket } from 'node:net'
import { type Dispatcher, errors } from 'undici'
import type { CancelSignal } from '../../runtime/cancel-signal.ts'
import type { ResponseHead } from './response-head.ts'

export interface WebhookResponse {
  readonly status: number
  readonly location: string | undefined
  readonly retryAfter: string | undefined
  /** its beginning, as far as it has come */
  readonly body: string
  /** why nothing but its status could be read */
  readonly problem: Error | undefined
}

/** How a request ended; once there is a response, nothing that happens to the rest of it matters any more. */
export type RequestResult =
  | { readonly kind: 'response'; readonly response: WebhookResponse }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'aborted' }
  | { readonly kind: 'error'; readonly error: Error }

/** How many bytes of a body are read. */
const BODY_BYTES = 1_024
/** How long the body of a 2xx, which nobody waits for, may take to set its connection free. */
const DRAIN_MS = 1_000
const CANCELLED = new Error('cancelled')

/**
 * The connection of a pool's client. undici does not expose it, but it has to be closed to cancel a request: undici's
 * own abort does nothing before a request is connected, and reconnects afterwards.
 */
export interface PooledConnection {
  socket?: Socket | undefined
  /** of the socket, once it is connected */
  head?: ResponseHead | undefined
}

interface InFlightRequestOptions {
  readonly timeoutMs: number
  readonly signal: CancelSignal
  /** called once with how it ended; its response may continue after that */
  readonly settle: (result: RequestResult) => void
  /** called once when nothing of it is left */
  readonly onReleased: () => void
  /** sends the same request over another connection */
  readonly resend: () => void
}

/** How a connection ends that the receiver has closed, be it before our request or upon it. */
const CLOSED: ReadonlySet<string> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'])
/** Headers that are too many or cannot be read; of some, undici first sees that their length is not the body's. */
const isOfHeaders = (error: Error): boolean =>
  error instanceof errors.HTTPParserError ||
  error instanceof errors.HeadersOverflowError ||
  error instanceof errors.ResponseContentLengthMismatchError

/** One request and its response, as undici tells of them. */
export class InFlightRequest implements Dispatcher.DispatchHandler {
  /** where the request goes */
  connection: PooledConnection | undefined
  #head: Omit<WebhookResponse, 'body'> | undefined
  #chunks: Buffer[] | undefined
  #bytes = 0
  #isSettled = false
  #isReleased = false
  #timer: NodeJS.Timeout
  readonly #endsAt: number
  readonly #signal: CancelSignal
  readonly #settle: (ending: RequestResult) => void
  readonly #onReleased: () => void
  readonly #resend: () => void
  readonly #abort = () => this.#cancel({ kind: 'aborted' })

  constructor({ timeoutMs, signal, settle, onReleased, resend }: InFlightRequestOptions) {
    this.#endsAt = performance.now() + timeoutMs
    this.#signal = signal
    this.#settle = settle
    this.#onReleased = onReleased
    this.#resend = resend
    this.#timer = setTimeout(timeOut, timeoutMs, this)
    signal.addEventListener('abort', this.#abort)
  }

  timeOut(): void {
    this.#cancel({ kind: 'timeout' })
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // Cancelled while it waited for a connection.
    if (this.#isReleased) controller.abort(CANCELLED)
    else this.connection?.head?.begin()
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (status < 200) return
    const { location, 'retry-after': retryAfter } = headers
    this.#head = { status, location: first(location), retryAfter: first(retryAfter), problem: undefined }
    if (status >= 300) return
    this.#settleOnce()
    // Most often the end came with the beginning, and there is nothing to wait for.
    queueMicrotask(() => this.#shortenTimeout())
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#chunks ??= []
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    // What came in the same read is let through, so that a body of some KiB does not cost its connection.
    if (this.#bytes >= BODY_BYTES) queueMicrotask(() => this.#cancel())
  }

  onResponseEnd(): void {
    this.#finish()
  }

  onResponseError(_controller: unknown, error: Error): void {
    // By close(), which leaves a socket that has not connected yet to itself.
    if (error instanceof errors.ClientDestroyedError) {
      this.#abort()
      return
    }
    if (this.#head === undefined && this.#isStale(error)) {
      queueMicrotask(() => this.#retryOnce()) // not before undici is done with the connection
      return
    }
    this.#head ??= this.#headDespite(error)
    this.#finish({ kind: 'error', error })
  }

  /**
   * The receiver had closed the connection, idle since the request before, and ours crossed that on its way: an attempt
   * that has failed at nothing. It is made over another connection, the last of them a new one, as HTTP allows for
   * requests that say by an id whether they are the same (RFC 9110, 9.2.2).
   */
  #isStale(error: Error): boolean {
    const head = this.connection?.head
    return head !== undefined && head.requests > 1 && !head.hasBegun && CLOSED.has(codeOf(error))
  }

  #retryOnce(): void {
    if (!this.#isReleased) this.#resend()
  }

  /** What a receiver has decided counts, though the headers after it make no sense. */
  #headDespite(error: Error): Omit<WebhookResponse, 'body'> | undefined {
    const status = this.connection?.head?.status
    if (status === undefined || !isOfHeaders(error)) return undefined
    return { status, location: undefined, retryAfter: undefined, problem: error }
  }

  /** What is left of a response that is told of already has a little time only. */
  #shortenTimeout(): void {
    if (this.#isReleased) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(timeOut, Math.min(DRAIN_MS, this.#endsAt - performance.now()), this)
  }

  /** @param fallback what to tell if there is no response to tell of */
  #settleOnce(fallback?: RequestResult): void {
    if (this.#isSettled) return
    this.#isSettled = true
    this.#signal.removeEventListener('abort', this.#abort)
    if (this.#head !== undefined) {
      const chunks = this.#chunks
      const body = chunks === undefined ? '' : Buffer.concat(chunks).subarray(0, BODY_BYTES).toString()
      this.#settle({ kind: 'response', response: { ...this.#head, body } })
    } else if (fallback !== undefined) this.#settle(fallback)
  }

  #finish(fallback?: RequestResult): void {
    if (this.#isReleased) return
    this.#isReleased = true
    clearTimeout(this.#timer)
    this.#settleOnce(fallback)
    this.#onReleased()
  }

  #cancel(fallback?: RequestResult): void {
    if (this.#isReleased) return
    this.#finish(fallback)
    this.connection?.socket?.destroy(CANCELLED)
  }
}

const timeOut = (inFlight: InFlightRequest): void => inFlight.timeOut()

const codeOf = (error: Error): string => (error as NodeJS.ErrnoException).code ?? ''

const first = (value: string | string[] | undefined): string | undefined =>
  Array.isArray(value) ? value[0] : value
