import type { RawEntry } from '../store/scripts/events.ts'
import { EVENT_TYPES, type EventData, type EventType } from './sink.ts'

/** How many events of each type. */
export type Counts = Readonly<Partial<Record<string, number>>>

export interface Emitted {
  readonly type: EventType
  readonly event: EventData
  /** JSON text */
  readonly payload: string | undefined
}

/** An event as the ring has it. */
export interface Told {
  readonly type: EventType
  /** JSON text */
  readonly data: string
  /** JSON text; "" if it was not kept */
  readonly payload: string
}

/** Up to 500 events that one server has written together. */
export interface Entry {
  /** `<ms>-<number>` by Redis */
  readonly id: string
  /** the entry before it, also if that is trimmed; "" for the first ever */
  readonly previous: string
  readonly events: readonly Told[]
  /** events in all entries before it */
  readonly before: Counts
  /** events that its server could not write */
  readonly lost: Counts
}

/** Longer payloads are left out. */
const PAYLOAD_CHARACTERS = 4_096
const TYPES: ReadonlySet<string> = new Set(EVENT_TYPES)

/** One line: type, data and, if it has one, payload. No JSON text of ours has a tab or a line break in it. */
export function encodeEvent({ type, event, payload }: Emitted): string {
  const line = `${type} ${JSON.stringify(event)}`
  const isKept = payload !== undefined && payload.length <= PAYLOAD_CHARACTERS && !payload.includes('\n')
  return isKept ? `${line}\t${payload}` : line
}

/** What cannot be read is left out. */
export function decodeEntry({ id, previous, totals, lost, lines }: RawEntry): Entry {
  const events: Told[] = []
  for (const line of lines.split('\n')) {
    const blank = line.indexOf(' ')
    const tab = line.indexOf('\t')
    const end = tab === -1 ? line.length : tab
    const type = line.slice(0, blank)
    if (!TYPES.has(type)) continue
    events.push({
      ...{ type: type as EventType, data: line.slice(blank + 1, end), payload: line.slice(end + 1) },
    })
  }
  return {
    id,
    previous,
    events,
    before: subtract(readCounts(totals), countTypes(events)),
    lost: readCounts(lost),
  }
}

export function countTypes(events: readonly { readonly type: string }[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { type } of events) counts[type] = (counts[type] ?? 0) + 1
  return counts
}

/** Counts as `<type> <number>`, separated by blanks. */
export const encodeCounts = (counts: Counts): string =>
  Object.entries(counts)
    .map(([type, count]) => `${type} ${count}`)
    .join(' ')

export function readCounts(text: string): Counts {
  const counts: Record<string, number> = {}
  for (const [, type = '', count] of text.matchAll(/(\w+) (\d+)/g)) counts[type] = Number(count)
  return counts
}

export function add(one: Counts, other: Counts): Counts {
  const sum: Record<string, number> = {}
  for (const type of EVENT_TYPES) sum[type] = (one[type] ?? 0) + (other[type] ?? 0)
  return sum
}

export function subtract(one: Counts, other: Counts): Counts {
  const rest: Record<string, number> = {}
  for (const type of EVENT_TYPES) rest[type] = (one[type] ?? 0) - (other[type] ?? 0)
  return rest
}
