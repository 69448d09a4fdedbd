import type { Logger } from 'pino'
import { SchedulerError } from '../domain/errors.ts'
import type { Metrics } from '../observability/metrics.ts'
import { sleep } from '../runtime/sleep.ts'
import type { EventScripts, NewEntry } from '../store/scripts/events.ts'
import { add, type Counts, countTypes, type Emitted, encodeCounts, encodeEvent } from './entry.ts'
import type { Interest } from './interest.ts'
import type { EventData, EventSink, EventType } from './sink.ts'

const WRITE_EVERY_MS = 20
const ENTRY_EVENTS = 500
/** Events that wait for Redis; beyond that the oldest are dropped. */
const HELD_AT_MOST = 10_000
const FIRST_RETRY_MS = 50
const LONGEST_RETRY_MS = 1_000

export interface CollectorDeps {
  readonly scripts: Pick<EventScripts, 'append'>
  readonly interest: Pick<Interest, 'isListening' | 'wantsPayloads'>
  readonly metrics: Pick<Metrics, 'eventsWritten' | 'eventsDropped'>
  readonly logger: Logger
  /** @returns what no entry of any server had before */
  readonly nextToken: () => string
}

/**
 * Collects what this server's rooms tell, and writes it to the ring every 20 ms, in entries of up to 500 events. While
 * Redis is away it keeps the newest events, and tells with its next entry how many it had to drop.
 */
export class Collector implements EventSink {
  readonly #deps: CollectorDeps
  readonly #stopping = new AbortController()
  #held: Emitted[] = []
  #lost: Counts = {}
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> | undefined
  #isRefused = false

  constructor(deps: CollectorDeps) {
    this.#deps = deps
  }

  get isListening(): boolean {
    return this.#deps.interest.isListening
  }

  emit(type: EventType, event: EventData, payload?: string): void {
    const { interest } = this.#deps
    if (!interest.isListening) return
    if (this.#held.length >= HELD_AT_MOST) this.#drop(this.#held.splice(0, ENTRY_EVENTS))
    this.#held.push({ type, event, payload: interest.wantsPayloads ? payload : undefined })
    this.#writeSoon()
  }

  /** Writes what it holds if Redis answers, and nothing after that. Never throws. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    this.#stopping.abort()
    await this.#writing
    await this.#write()
  }

  #writeSoon(): void {
    if (this.#timer !== undefined || this.#writing !== undefined) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#writing = this.#write().then(() => {
        this.#writing = undefined
        if (this.#held.length > 0) this.#writeSoon()
      })
    }, WRITE_EVERY_MS)
  }

  /** What is held now; what comes meanwhile waits for the next time. */
  async #write(): Promise<void> {
    for (let left = this.#held.length; left > 0; left -= ENTRY_EVENTS) {
      await this.#append(this.#held.splice(0, Math.min(left, ENTRY_EVENTS)))
    }
  }

  async #append(events: readonly Emitted[]): Promise<void> {
    const { scripts, metrics, nextToken } = this.#deps
    const lost = this.#lost
    const entry: NewEntry = {
      token: nextToken(),
      repeated: false,
      lines: events.map(encodeEvent).join('\n'),
      count: events.length,
      lost: encodeCounts(lost),
      types: Object.entries(countTypes(events)),
    }
    this.#lost = {}
    if (await this.#appendUntilAnswered(scripts, entry)) {
      metrics.eventsWritten(events.length)
      return
    }
    this.#lost = add(this.#lost, lost)
    this.#drop(events)
  }

  /** @returns whether it is written */
  async #appendUntilAnswered({ append }: CollectorDeps['scripts'], entry: NewEntry): Promise<boolean> {
    let { repeated } = entry
    for (let wait = FIRST_RETRY_MS; ; wait = Math.min(2 * wait, LONGEST_RETRY_MS)) {
      try {
        await append({ ...entry, repeated })
        this.#isRefused = false
        return true
      } catch (error) {
        const isAway = error instanceof SchedulerError && error.code === 'STORE_UNAVAILABLE'
        if (!isAway) this.#logRefusal(error)
        if (!isAway || this.#stopping.signal.aborted) return false
        repeated ||= error.outcomeUnknown
      }
      await sleep(wait, this.#stopping.signal)
    }
  }

  /** Of a Redis that is full, or a right that is lacking: once until it is over. */
  #logRefusal(error: unknown): void {
    if (this.#isRefused) return
    this.#isRefused = true
    this.#deps.logger.warn({ err: error }, 'events cannot be written; messages are not affected')
  }

  #drop(events: readonly Emitted[]): void {
    this.#lost = add(this.#lost, countTypes(events))
    this.#deps.metrics.eventsDropped(events.length)
  }
}
