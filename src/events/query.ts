import { parseJson } from '../domain/json/shape.ts'
import type { Counts, Told } from './entry.ts'
import { EVENT_TYPES, type EventData, type EventType } from './sink.ts'

/** Which events a stream tells, and how. */
export interface EventQuery {
  /** all types if undefined */
  readonly types?: readonly EventType[]
  readonly tag?: string
  /** "console", "stream" or a lane */
  readonly destination?: string
  /** whether payloads are told */
  readonly payload: boolean
  /** whether bursts are told event by event, or as a summary */
  readonly detail: 'all' | 'many'
}

/** What a query selects; equal queries have the same key. */
export interface EventFilter {
  readonly key: string
  /** the types, in short; "" for all */
  readonly typesKey: string
  hasType(type: string): boolean
  /** Whether an event of a type it has matches in all else. */
  matches(event: Told): boolean
  /** How many of these events have its types. */
  count(counts: Counts): number
  /** Whether more than types decides. */
  readonly isNarrow: boolean
}

export function createFilter({ types, tag, destination, payload, detail }: EventQuery): EventFilter {
  const wanted: ReadonlySet<string> = new Set(types ?? EVENT_TYPES)
  const isAll = EVENT_TYPES.every((type) => wanted.has(type))
  const isNarrow = tag !== undefined || destination !== undefined
  const bits = EVENT_TYPES.reduce((sum, type, i) => (wanted.has(type) ? sum + 2 ** i : sum), 0)
  return {
    key: JSON.stringify([bits, tag, destination, payload, detail]),
    typesKey: isAll ? '' : bits.toString(36),
    isNarrow,
    hasType: (type) => wanted.has(type),
    matches(event) {
      if (!isNarrow) return true
      const fields = fieldsOf(event)
      return (
        (destination === undefined || fields.destination === destination) &&
        (tag === undefined || (Array.isArray(fields.tags) && fields.tags.includes(tag)))
      )
    },
    count: (counts) =>
      EVENT_TYPES.reduce((sum, type) => sum + (wanted.has(type) ? (counts[type] ?? 0) : 0), 0),
  }
}

const parsed = new WeakMap<Told, EventData>()

/** What an event tells, read once for all streams. */
export function fieldsOf(event: Told): EventData {
  let fields = parsed.get(event)
  if (fields === undefined) {
    fields = (parseJson(event.data) ?? {}) as EventData
    parsed.set(event, fields)
  }
  return fields
}
