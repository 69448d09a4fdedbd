import type { Entry } from './entry.ts'
import { endOf } from './position.ts'
import { createFilter, type EventQuery } from './query.ts'
import type { EventStream } from './stream.ts'
import { type Chunk, Teller } from './teller.ts'

/** What is held back as a possible burst is told by then. */
const HELD_FOR_MS = 100

/** All live streams with one query: what they tell is made once. */
export class Channel {
  readonly streams = new Set<EventStream>()
  readonly #teller: Teller
  #timer: NodeJS.Timeout | undefined

  /** @param last the entry after which it begins */
  constructor(query: EventQuery, last: Entry | undefined) {
    const filter = createFilter(query)
    this.#teller = new Teller(query, endOf(last, filter), filter)
  }

  /** From the next entry on. What is held back of those before is told to the others first. */
  join(stream: EventStream): void {
    this.#flush()
    this.streams.add(stream)
  }

  take(entry: Entry): void {
    this.#tell(this.#teller.take(entry))
    if (this.#teller.isHolding) this.#timer ??= setTimeout(() => this.#flush(), HELD_FOR_MS)
  }

  close(): void {
    clearTimeout(this.#timer)
  }

  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#tell(this.#teller.flush())
  }

  #tell(chunks: readonly Chunk[]): void {
    for (const chunk of chunks) {
      for (const stream of this.streams) stream.push(chunk)
    }
  }
}
