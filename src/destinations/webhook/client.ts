import { Agent, Client, type Dispatcher, Pool } from 'undici'
import type { CancelSignal } from '../../runtime/cancel-signal.ts'
import type { AllowList } from './addresses.ts'
import { type Connect, createGuardedConnector } from './guarded-connector.ts'
import type { LookupAll } from './guarded-lookup.ts'
import { InFlightRequest, type PooledConnection, type RequestResult } from './in-flight-request.ts'
import { watchResponses } from './response-head.ts'

export interface WebhookRequest {
  readonly method: Dispatcher.HttpMethod
  readonly origin: string
  /** with the query */
  readonly path: string
  /** names and values in turn */
  readonly headers: string[]
  readonly body: string | null
}

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

/** Of more headers than this the status alone counts. */
const HEADER_BYTES = 65_536
/** As undici has it: a server that says nothing of its own often waits 5 s. A server's hint counts, less 2 s. */
const IDLE_MS = 4_000
/**
 * The longest idle time, even if a server promises more: idle connections to many hosts would use up the descriptors.
 */
const LONGEST_IDLE_MS = 10_000

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
