import type { Metrics } from '../observability/metrics.ts'
import { sleep } from '../runtime/sleep.ts'
import type { EventScripts, RingPage } from '../store/scripts/events.ts'
import { Channel } from './channel.ts'
import { decodeEntry, type Entry } from './entry.ts'
import { Feed } from './feed.ts'
import type { Interest } from './interest.ts'
import { encodePosition, endOf, isAfter, START_OF_RING } from './position.ts'
import { createFilter, type EventQuery } from './query.ts'
import { EventStream, type StreamConnection } from './stream.ts'
import { type Beginning, gap, Teller, toChunks } from './teller.ts'

/** Streams that a server has at a time. */
export const MOST_STREAMS = 100
/** A client reconnects so soon. */
const RETRY_MS = 1_000
/** While Redis is away a stream is opened without it after this time. */
const OPEN_WITHIN_MS = 1_200
const REPLAY_AGAIN_MS = 250

export interface EventStreamsDeps {
  readonly scripts: Pick<EventScripts, 'read' | 'newest' | 'announce'>
  readonly interest: Pick<Interest, 'isListening' | 'heard'>
  readonly metrics: Pick<Metrics, 'eventStreams' | 'eventsDropped'>
  /** Redis's clock, epoch ms */
  readonly now: () => number
}

/** The streams of this server's clients. */
export class EventStreams {
  readonly #deps: EventStreamsDeps
  readonly #feed: Feed
  readonly #channels = new Map<string, Channel>()
  readonly #open = new Map<EventStream, { readonly wantsPayloads: boolean }>()
  #isClosing = false

  constructor(deps: EventStreamsDeps) {
    this.#deps = deps
    this.#feed = new Feed({
      scripts: deps.scripts,
      onEntry: (entry) => {
        for (const channel of this.#channels.values()) channel.take(entry)
      },
      onPoll: () => this.hear(),
    })
  }

  /** Whether another one may be opened. */
  get hasRoom(): boolean {
    return this.#open.size < MOST_STREAMS && !this.#isClosing
  }

  /** Takes note of the listeners here, of whom other servers are told at the next heartbeat. */
  hear(): void {
    if (this.#open.size === 0) return
    const at = this.#deps.now()
    const wantsPayloads = [...this.#open.values()].some((each) => each.wantsPayloads)
    this.#deps.interest.heard({ at, payloadAt: wantsPayloads ? at : 0 })
  }

  /** Something was written to the ring. */
  wake(): void {
    this.#feed.wake()
  }

  /** Redis is back. */
  resume(): void {
    void this.#feed.checkRing()
    if (this.#open.size > 0) void this.#announce()
  }

  /**
   * Tells events to a client until it goes or close() is called.
   *
   * @param from where to begin; undefined for what comes from now on
   * @returns when it has ended; never rejects
   */
  async stream(query: EventQuery, from: Beginning | undefined, connection: StreamConnection): Promise<void> {
    const { metrics, interest } = this.#deps
    const stream = new EventStream(connection, (events) => metrics.eventsDropped(events))
    const closed = new Promise<void>((resolve) => connection.onClose(resolve))
    const wasCollected = interest.isListening
    this.#open.set(stream, { wantsPayloads: query.payload })
    metrics.eventStreams(this.#open.size)
    this.hear()
    await withinTime(Promise.all([this.#announce(), this.#feed.start()]), closed)
    connection.open()
    if (!this.#feed.isReady) await stream.writeNow(': Redis does not answer\n\n')
    await Promise.race([this.#feed.start(), closed])
    if (!stream.isClosed) await this.#begin(stream, query, from, wasCollected)
    await closed
    this.#leave(stream)
  }

  /** Says goodbye to all, and takes no more. */
  close(): void {
    this.#isClosing = true
    for (const stream of this.#open.keys()) stream.end()
  }

  async #begin(
    stream: EventStream,
    query: EventQuery,
    from: Beginning | undefined,
    wasCollected: boolean,
  ): Promise<void> {
    const mark = this.#feed.last
    this.#join(stream, query)
    // By the id it can be continued, also if nothing is told before it breaks.
    const id = from === undefined ? `id: ${encodePosition(endOf(mark, createFilter(query)))}\n` : ''
    await stream.writeNow(`retry: ${RETRY_MS}\n${id}\n`)
    if (from !== undefined) {
      if (!wasCollected) await stream.writeNow(GAP)
      await this.#replay(stream, query, from, mark)
    }
    stream.goLive()
  }

  #join(stream: EventStream, query: EventQuery): void {
    const { key } = createFilter(query)
    let channel = this.#channels.get(key)
    if (channel === undefined) {
      channel = new Channel(query, this.#feed.last)
      this.#channels.set(key, channel)
    }
    channel.join(stream)
  }

  #leave(stream: EventStream): void {
    this.#open.delete(stream)
    this.#deps.metrics.eventStreams(this.#open.size)
    for (const [key, channel] of this.#channels) {
      channel.streams.delete(stream)
      if (channel.streams.size > 0) continue
      channel.close()
      this.#channels.delete(key)
    }
    if (this.#open.size === 0) this.#feed.stop()
  }

  /** Tells what the ring has from a place up to the mark, a page at a time, as fast as the client reads. */
  async #replay(
    stream: EventStream,
    query: EventQuery,
    from: Beginning,
    mark: Entry | undefined,
  ): Promise<void> {
    const isBehind = 'entry' in from && isAfter(from.entry, mark?.id ?? START_OF_RING)
    if (isBehind) return stream.writeNow(GAP) // of a ring that is gone
    if (mark === undefined) return
    const teller = new Teller(query, from)
    let readsFrom: string | undefined = teller.readsFrom
    while (readsFrom !== undefined && !stream.isClosed) {
      const page: RingPage | undefined = await this.#deps.scripts.read(readsFrom).catch(() => undefined)
      if (page === undefined) {
        await sleep(REPLAY_AGAIN_MS, new AbortController().signal)
        continue
      }
      readsFrom = page.more ? `(${page.entries.at(-1)?.id}` : undefined
      for (const raw of page.entries) {
        if (isAfter(raw.id, mark.id)) {
          readsFrom = undefined
          break
        }
        for (const { bytes } of teller.take(decodeEntry(raw))) await stream.writeNow(bytes)
      }
    }
    for (const { bytes } of teller.flush()) await stream.writeNow(bytes)
  }

  /** Tells other servers that there is a listener. They also learn it at the next heartbeat. */
  async #announce(): Promise<void> {
    const wantsPayloads = [...this.#open.values()].some((each) => each.wantsPayloads)
    await this.#deps.scripts.announce(wantsPayloads).catch(() => undefined)
  }
}

/** Of unknown size: nothing was collected, or the ring is another one. */
const GAP = toChunks([gap(0)])[0]?.bytes ?? ''

async function withinTime(ready: Promise<unknown>, closed: Promise<void>): Promise<void> {
  const over = new AbortController()
  await Promise.race([ready, closed, sleep(OPEN_WITHIN_MS, over.signal)])
  over.abort()
}
