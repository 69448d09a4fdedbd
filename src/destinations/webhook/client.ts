import type { Socket } from 'node:net'
import { Agent, Client, type Dispatcher, errors, Pool } from 'undici'
import type { CancelSignal } from '../../runtime/cancel-signal.ts'
import type { AllowList } from './addresses.ts'
import { type Connect, createGuardedConnector } from './guarded-connector.ts'
import type { LookupAll } from './guarded-lookup.ts'
import { type ResponseHead, watchResponses } from './response-head.ts'

export interface WebhookRequest {
  readonly method: Dispatcher.HttpMethod
  readonly origin: string
  /** with the query */
  readonly path: string
  /** names and values in turn */
  readonly headers: string[]
  readonly body: string | null
}

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

export interface WebhookClient {
  /**
   * Sends one request. Never rejects.
   *
   * @param timeoutMs from now to the end of all that is read
   * @param onReleased told once, when its connection is closed or free for the next
   */
  send(
    request: WebhookRequest,
    limits: { readonly timeoutMs: number; readonly signal: CancelSignal; readonly onReleased: () => void },
  ): Promise<RequestResult>
  /** Cancels requests in flight, and closes all connections. */
  close(): Promise<void>
}

/** How many bytes of a body are read. */
const BODY_BYTES = 1_024
/** How long the body of a 2xx, which nobody waits for, may take to set its connection free. */
const DRAIN_MS = 1_000
/** Of more headers than this the status alone counts. */
const HEADER_BYTES = 65_536
/** As undici has it: a server that says nothing of its own often waits 5 s. A server's hint counts, less 2 s. */
const IDLE_MS = 4_000
/**
 * The longest idle time, even if a server promises more: idle connections to many hosts would use up the descriptors.
 */
const LONGEST_IDLE_MS = 10_000

const CANCELLED = new Error('cancelled')

/**
 * The connection of a pool's client. undici does not expose it, but it has to be closed to cancel a request: undici's
 * own abort does nothing before a request is connected, and reconnects afterwards.
 */
interface PooledConnection {
  socket?: Socket | undefined
  /** of the socket, once it is connected */
  head?: ResponseHead | undefined
}

interface InFlightOptions extends Dispatcher.DispatchOptions {
  readonly inFlight: InFlightRequest
}

class PooledClient extends Client {
  readonly #line: PooledConnection

  constructor(origin: URL, options: Client.Options, connect: Connect) {
    const connection: PooledConnection = {}
    super(origin, {
      ...options,
      connect(to, callback) {
        connection.head = undefined
        connection.socket = connect(to, (...result) => {
          if (result[1] !== null) connection.head = watchResponses(result[1])
          callback(...result)
        })
      },
    })
    this.#line = connection
  }

  override dispatch(options: InFlightOptions, handler: Dispatcher.DispatchHandler): boolean {
    options.inFlight.connection = this.#line
    return super.dispatch(options, handler)
  }
}

/**
 * A client for requests that each may fail in any way, and must harm no other: every request has a connection to itself
 * while it runs, kept for the next one only if the response was read whole.
 */
export function createWebhookClient(allow: AllowList, lookup: LookupAll): WebhookClient {
  const connect = createGuardedConnector(allow, lookup)
  const agent = new Agent({
    // Any number of connections: what limits them is how many deliveries run at once.
    factory: (origin, options) =>
      new Pool(origin, {
        ...options,
        factory: (clientOrigin, clientOptions) => new PooledClient(clientOrigin, clientOptions, connect),
      }),
    pipelining: 1,
    // Each request has its own time-out, which may be longer than these.
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: IDLE_MS,
    keepAliveMaxTimeout: LONGEST_IDLE_MS,
    maxHeaderSize: HEADER_BYTES,
  })

  function dispatch(options: InFlightOptions): void {
    try {
      agent.dispatch(options, options.inFlight)
    } catch (error) {
      options.inFlight.onResponseError(null, error as Error) // of undici's checks
    }
  }

  return {
    send: ({ origin, path, method, headers, body }, { timeoutMs, signal, onReleased }) =>
      new Promise((resolve) => {
        if (signal.aborted) {
          onReleased()
          return resolve({ kind: 'aborted' })
        }
        const resend = () => dispatch(options)
        const inFlight = new InFlightRequest({ timeoutMs, signal, settle: resolve, onReleased, resend })
        const options: InFlightOptions = { origin, path, method, headers, body, inFlight }
        dispatch(options)
      }),
    close: () => agent.destroy(),
  }
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
class InFlightRequest implements Dispatcher.DispatchHandler {
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
