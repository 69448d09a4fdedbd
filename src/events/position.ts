import type { Entry } from './entry.ts'
import type { EventFilter } from './query.ts'

/** A place in the ring, behind an event. */
export interface Position {
  /** id of its entry, `<ms>-<number>` */
  readonly entry: string
  /** how many events of the entry are before it */
  readonly index: number
  /** how many events of the stream's types there have been up to it */
  readonly seen: number
  /** see EventFilter; `seen` says nothing to a stream with other types */
  readonly typesKey: string
}

const FORM = /^(\d{1,15}-\d{1,15})-(\d{1,6})-(\d{1,15})(?:-([0-9a-z]{1,4}))?$/

/** The id of an event, as clients have it. */
export const encodePosition = ({ entry, index, seen, typesKey }: Position): string =>
  `${entry}-${index}-${seen}${typesKey === '' ? '' : `-${typesKey}`}`

/** @returns undefined for what is no id of an event */
export function decodePosition(id: string): Position | undefined {
  const [match, entry = '', index, seen, typesKey = ''] = FORM.exec(id) ?? []
  return match === undefined ? undefined : { entry, index: Number(index), seen: Number(seen), typesKey }
}

/** Before the first entry ever. */
export const START_OF_RING = '0-0'

/** The place behind the last event of an entry; the start of the ring if there is none. */
export function endOf(entry: Entry | undefined, filter: EventFilter): Position {
  const { typesKey } = filter
  if (entry === undefined) return { entry: START_OF_RING, index: 0, seen: 0, typesKey }
  const inEntry = entry.events.filter(({ type }) => filter.hasType(type)).length
  return { entry: entry.id, index: entry.events.length, seen: filter.count(entry.before) + inEntry, typesKey }
}

export const msOf = (entryId: string): number => Number(entryId.split('-', 1)[0])

/** Whether one entry is later than another. */
export function isAfter(entryId: string, other: string): boolean {
  const [ms = 0, number = 0] = entryId.split('-').map(Number)
  const [otherMs = 0, otherNumber = 0] = other.split('-').map(Number)
  return ms > otherMs || (ms === otherMs && number > otherNumber)
}
