import { Bursts, type Frame, frameOf, type Item } from './bursts.ts'
import type { Entry } from './entry.ts'
import { encodePosition, msOf, type Position, START_OF_RING } from './position.ts'
import { createFilter, type EventFilter, type EventQuery } from './query.ts'

/** Some whole frames as they are written to clients, all of whom share the bytes. */
export interface Chunk {
  readonly bytes: Buffer
  /** how many events they tell of */
  readonly count: number
}

const CHUNK_CHARACTERS = 32_768

/** Where a stream begins: behind an event, or at a time, epoch ms. */
export type Beginning = Position | { readonly since: number }

/** Makes of the ring's entries what streams with one query tell. It takes every entry from where it begins. */
export class Teller {
  readonly #filter: EventFilter
  readonly #query: EventQuery
  readonly #bursts = new Bursts()
  /** the entry that it took last, or that it is to begin within */
  #entry: string
  /** how many events of the entry are told already */
  #index: number
  /** events of its types up to there; undefined where that is not known */
  #seen: number | undefined
  #since: number | undefined

  constructor(query: EventQuery, from: Beginning, filter = createFilter(query)) {
    this.#query = query
    this.#filter = filter
    const isPosition = 'entry' in from
    this.#entry = isPosition ? from.entry : START_OF_RING
    this.#index = isPosition ? from.index : 0
    this.#seen = isPosition && from.typesKey === filter.typesKey ? from.seen : undefined
    this.#since = isPosition ? undefined : from.since
  }

  /** Whether it holds back something that may become a burst. */
  get isHolding(): boolean {
    return this.#bursts.isHolding
  }

  /** The first id to read from. */
  get readsFrom(): string {
    if (this.#since !== undefined) return `${this.#since}-0`
    // Of the entry that it begins within, there may be more to tell.
    return this.#index > 0 ? this.#entry : `(${this.#entry}`
  }

  take(entry: Entry): Chunk[] {
    const { typesKey } = this.#filter
    const frames: Frame[] = []
    const missed = this.#missedBefore(entry)
    if (missed !== undefined) frames.push(...this.#bursts.flush(), gap(missed))
    const told = entry.id === this.#entry ? this.#index : 0
    const items: Item[] = []
    let seen = this.#filter.count(entry.before)
    for (const [i, event] of entry.events.entries()) {
      if (!this.#filter.hasType(event.type)) continue
      seen += 1
      if (i < told || !this.#filter.matches(event)) continue
      const id = encodePosition({ entry: entry.id, index: i + 1, seen, typesKey })
      items.push({ id, at: msOf(entry.id), told: this.#query.payload ? withPayload(event) : event })
    }
    frames.push(...(this.#query.detail === 'all' ? items.map(frameOf) : this.#bursts.add(items)))
    this.#entry = entry.id
    this.#index = entry.events.length
    this.#seen = seen
    this.#since = undefined
    return toChunks(frames)
  }

  /** What it has held back. */
  flush(): Chunk[] {
    return toChunks(this.#bursts.flush())
  }

  /** At least how many events that it would have told come between the last entry and this one; undefined for none. */
  #missedBefore({ id, before, previous, lost }: Entry): number | undefined {
    if (id === this.#entry) return undefined
    const lostHere = this.#filter.count(lost)
    const isNext = previous === this.#entry || (previous === '' && this.#entry === START_OF_RING)
    if (this.#since !== undefined) {
      if (previous === '' || msOf(previous) < this.#since) return this.#atLeast(lostHere)
      // One at least, if it is of these types.
      return this.#atLeast(lostHere || (this.#filter.typesKey === '' ? 1 : 0)) ?? 0
    }
    // Another ring than the one it began in: Redis has lost that one.
    if (previous === '' && !isNext) return 0
    if (this.#seen === undefined) return isNext ? this.#atLeast(lostHere) : 0
    return this.#atLeast(this.#filter.count(before) - this.#seen + lostHere)
  }

  /** @param missed events of its types */
  #atLeast(missed: number): number | undefined {
    if (missed === 0) return undefined
    return this.#filter.isNarrow || missed < 0 ? 0 : missed
  }
}

/** The frame that tells of missed events. */
export const gap = (count: number): Frame => ({
  ...{ id: undefined, event: 'gap', data: JSON.stringify({ count }), count },
})

function withPayload(event: Entry['events'][number]): Entry['events'][number] {
  if (event.payload === '') return event
  return { ...event, data: `${event.data.slice(0, -1)},"payload":${event.payload}}`, payload: '' }
}

export function toChunks(frames: readonly Frame[]): Chunk[] {
  const chunks: Chunk[] = []
  let text = ''
  let count = 0
  const end = () => {
    if (text !== '') chunks.push({ bytes: Buffer.from(text), count })
    text = ''
    count = 0
  }
  for (const { id, event, data, count: events } of frames) {
    text += `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${data}\n\n`
    count += events
    if (text.length >= CHUNK_CHARACTERS) end()
  }
  end()
  return chunks
}
