import { groupBy } from '../runtime/group-by.ts'
import { toIso } from '../runtime/iso-time.ts'
import type { Told } from './entry.ts'
import { fieldsOf } from './query.ts'

/** More events of one type within this time are told as one. */
const PERIOD_MS = 100
const BURST = 200
/** So many a period are told at once; those behind them wait for the end of the period, as they may be a burst. */
const AT_ONCE = 20
const MOST_DESTINATIONS = 100

/** An event that a stream is to tell. */
export interface Item {
  readonly told: Told
  /** its position as its client has it */
  readonly id: string
  /** when Redis had it, epoch ms */
  readonly at: number
}

/** What is written to a stream. */
export interface Frame {
  /** undefined where others with the same id are to follow */
  readonly id: string | undefined
  readonly event: string
  /** JSON text */
  readonly data: string
  /** how many events it tells of */
  readonly count: number
}

/**
 * Tells bursts as summaries: more than 200 events of one type within 100 ms become one `many`. Times are those of the
 * ring, so that a replay tells the same.
 *
 * The events of a summary came between others. So where there is one, only the last frame of the period has an id: a
 * client that is cut off before it begins again with the first.
 */
export class Bursts {
  #endsAt = 0
  #atOnce = AT_ONCE
  #held: Item[] = []

  /** Whether it waits for the end of a period. */
  get isHolding(): boolean {
    return this.#held.length > 0
  }

  /** @param items of one entry @returns what is told now */
  add(items: readonly Item[]): Frame[] {
    const [first] = items
    if (first === undefined) return []
    const frames = first.at >= this.#endsAt ? this.flush() : []
    if (first.at >= this.#endsAt) this.#endsAt = first.at + PERIOD_MS
    if (this.#held.length > 0 || items.length > this.#atOnce) this.#held.push(...items)
    else {
      this.#atOnce -= items.length
      frames.push(...items.map(frameOf))
    }
    return frames
  }

  /** Ends the period. @returns what it held back */
  flush(): Frame[] {
    const held = this.#held
    this.#held = []
    this.#endsAt = 0
    const bursts = [...groupBy(held, ({ told }): string => told.type)].filter(
      ([, items]) => items.length > BURST,
    )
    this.#atOnce = bursts.length > 0 ? 0 : AT_ONCE
    if (bursts.length === 0) return held.map(frameOf)
    const types = new Set<string>(bursts.map(([type]) => type))
    const single = held.filter(({ told }) => !types.has(told.type)).map(frameOf)
    const frames = [...single, ...bursts.map(([type, items]) => summaryOf(type, items))]
    const last = held.at(-1)?.id
    return frames.map((frame, i) => ({ ...frame, id: i === frames.length - 1 ? last : undefined }))
  }
}

export const frameOf = ({ told: { type, data }, id }: Item): Frame => ({ id, event: type, data, count: 1 })

function summaryOf(type: string, items: readonly Item[]): Frame {
  const byDestination: Record<string, number> = {}
  let destinations = 0
  for (const { told } of items) {
    const { destination } = fieldsOf(told)
    if (typeof destination !== 'string') continue
    const isNew = !Object.hasOwn(byDestination, destination)
    const name = isNew && destinations >= MOST_DESTINATIONS ? 'other' : destination
    if (isNew && name === destination) destinations += 1
    byDestination[name] = (byDestination[name] ?? 0) + 1
  }
  const [first, last] = [items[0], items.at(-1)].map((item) => toIso(item?.at ?? 0))
  const data = JSON.stringify({ type, count: items.length, first, last, byDestination })
  return { id: undefined, event: 'many', data, count: items.length }
}
