import { type Chunk, gap, toChunks } from './teller.ts'

/** A client that reads slower has so much kept for it; then the oldest goes. */
const KEPT_BYTES = 1_048_576

/** The connection of a client. */
export interface StreamConnection {
  /** Sends the status and the headers. Idempotent. */
  open(): void
  /** @returns whether it may be written to at once; else once it has drained */
  write(bytes: Buffer | string): boolean
  /** bytes that were written and are not yet sent */
  readonly waitingBytes: number
  onDrain(listener: () => void): void
  /** Its client has gone, or it was ended. Called back at once if that is so already. */
  onClose(listener: () => void): void
  /** Sends what was written, and closes. Idempotent. */
  end(): void
}

/** Writes to one client as fast as it reads, and keeps a bounded part of the rest. */
export class EventStream {
  readonly #connection: StreamConnection
  readonly #onDropped: (events: number) => void
  readonly #queue: Chunk[] = []
  #queuedBytes = 0
  /** events that were dropped, and not yet told as a gap */
  #missed = 0
  #isBlocked = false
  #isLive = false
  #isClosed = false
  #onWritable: (() => void) | undefined

  /** @param onDropped told of events that a slow client misses */
  constructor(connection: StreamConnection, onDropped: (events: number) => void) {
    this.#connection = connection
    this.#onDropped = onDropped
    connection.onDrain(() => {
      this.#isBlocked = false
      this.#onWritable?.()
      this.#pump()
    })
    connection.onClose(() => {
      this.#isClosed = true
      this.#queue.length = 0
      this.#onWritable?.()
    })
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Of what is told live, what comes before goLive() waits. */
  push(chunk: Chunk): void {
    if (this.#isClosed) return
    this.#queue.push(chunk)
    this.#queuedBytes += chunk.bytes.length
    while (this.#queuedBytes + this.#connection.waitingBytes > KEPT_BYTES && this.#queue.length > 1) {
      const oldest = this.#queue.shift()
      this.#queuedBytes -= oldest?.bytes.length ?? 0
      this.#missed += oldest?.count ?? 0
      this.#onDropped(oldest?.count ?? 0)
    }
    this.#pump()
  }

  /** Writes something before what is told live. @returns once the client has room for more, or has gone */
  async writeNow(bytes: Buffer | string): Promise<void> {
    if (this.#isClosed) return
    if (this.#connection.write(bytes)) return
    await new Promise<void>((resolve) => {
      this.#onWritable = resolve
    })
    this.#onWritable = undefined
  }

  goLive(): void {
    this.#isLive = true
    this.#pump()
  }

  /** Says why it ends, and ends. */
  end(): void {
    if (this.#isClosed) return
    this.#connection.open()
    this.#connection.write('event: bye\ndata: {}\n\n')
    this.#connection.end()
  }

  #pump(): void {
    while (this.#isLive && !this.#isBlocked && !this.#isClosed) {
      const [missed] = this.#missed > 0 ? toChunks([gap(this.#missed)]) : []
      const chunk = missed ?? this.#queue.shift()
      if (chunk === undefined) return
      if (missed === undefined) this.#queuedBytes -= chunk.bytes.length
      else this.#missed = 0
      this.#isBlocked = !this.#connection.write(chunk.bytes)
    }
  }
}
