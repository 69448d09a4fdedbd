import { sleep } from '../runtime/sleep.ts'
import type { EventScripts } from '../store/scripts/events.ts'
import { decodeEntry, type Entry } from './entry.ts'
import { isAfter, START_OF_RING } from './position.ts'

/** What was not heard of is found by then. */
const POLL_MS = 1_000
const RETRY_MS = 250

export interface FeedDeps {
  readonly scripts: Pick<EventScripts, 'read' | 'newest'>
  /** told every entry once, in order */
  readonly onEntry: (entry: Entry) => void
  /** told every second while it runs */
  readonly onPoll: () => void
}

/**
 * Follows the ring for all streams of this server, while there are any: reads what is new when it hears that something
 * is, and once a second. A Redis that is away is asked again and again.
 */
export class Feed {
  readonly #deps: FeedDeps
  #isRunning = false
  #newest: Entry | undefined
  #hasEnd = false
  #ready: Promise<void> | undefined
  #reading: Promise<void> | undefined
  #isAskedAgain = false
  #poll: NodeJS.Timeout | undefined

  constructor(deps: FeedDeps) {
    this.#deps = deps
  }

  /** The last entry that was told; the newest of the ring when it began, if none was. Undefined for an empty ring. */
  get last(): Entry | undefined {
    return this.#newest
  }

  /** Whether it knows the end of the ring. */
  get isReady(): boolean {
    return this.#hasEnd
  }

  /** Idempotent. @returns once it knows the end of the ring, which takes as long as Redis is away */
  start(): Promise<void> {
    if (this.#ready !== undefined) return this.#ready
    this.#isRunning = true
    this.#poll = setInterval(() => {
      this.#deps.onPoll()
      this.wake()
    }, POLL_MS)
    this.#ready = this.#findEnd()
    return this.#ready
  }

  stop(): void {
    clearInterval(this.#poll)
    this.#isRunning = false
    this.#hasEnd = false
    this.#ready = undefined
    this.#newest = undefined
  }

  /** There may be something new. */
  wake(): void {
    if (!this.#isRunning) return
    if (this.#reading !== undefined) {
      this.#isAskedAgain = true
      return
    }
    this.#reading = this.#read().finally(() => {
      this.#reading = undefined
      if (this.#isAskedAgain) this.wake()
    })
  }

  /** Redis is back: its ring may be another one. */
  async checkRing(): Promise<void> {
    if (!this.#isRunning || this.#newest === undefined) return
    const newest = await this.#deps.scripts.newest().catch(() => this.#newest)
    if (this.#newest === undefined || (newest !== undefined && !isAfter(this.#newest.id, newest.id))) return
    // From its beginning: what was there before is gone.
    this.#newest = undefined
    this.wake()
  }

  async #findEnd(): Promise<void> {
    const run = this.#poll
    while (this.#isRunning && this.#poll === run) {
      try {
        const newest = await this.#deps.scripts.newest()
        if (this.#poll !== run) return
        this.#newest = newest === undefined ? undefined : decodeEntry(newest)
        this.#hasEnd = true
        return
      } catch {
        await sleep(RETRY_MS, new AbortController().signal)
      }
    }
  }

  async #read(): Promise<void> {
    const run = this.#poll
    await this.#ready
    try {
      for (let isMore = true; isMore; ) {
        this.#isAskedAgain = false
        const { entries, more } = await this.#deps.scripts.read(`(${this.#newest?.id ?? START_OF_RING}`)
        if (this.#poll !== run || !this.#isRunning) return
        isMore = more
        for (const raw of entries) {
          this.#newest = decodeEntry(raw)
          this.#deps.onEntry(this.#newest)
        }
      }
    } catch {
      // The poll asks again; others log that Redis is away.
    }
  }
}
