import { parseAttemptCounts } from '../domain/attempt-counts.ts'
import { isObject, isText, parseJson } from '../domain/json/shape.ts'
import type { AttemptReport } from '../domain/message.ts'
import { parseServerMadeId } from '../domain/message-id.ts'
import { decodeHistoryEntry, isReport } from '../records/history.ts'
import { marksOf } from '../records/marks.ts'
import { isTime, UnreadableError } from '../records/readable.ts'
import { decodeRecord } from '../records/record.ts'
import type { FoundMessage } from '../store/scripts/query.ts'

export const EVENTS = [
  ...['created', 'changed', 'due', 'attempt', 'recovered'],
  ...['delivered', 'dropped', 'dead', 'redriven', 'cancelled'],
] as const
export type TimelineEvent = (typeof EVENTS)[number]

/** Something that happened to a message; what is not known, or does not apply, is absent. */
export interface TimelineEntry {
  /** epoch ms */
  readonly at: number
  readonly event: TimelineEvent
  /** name of the API key that did it */
  readonly by?: string
  readonly version?: number
  readonly server?: string
  /** 1 for the first delivery, one more for each failure or recovery before */
  readonly attempt?: number
  readonly claim?: number
  /** after the message's due time, ms */
  readonly lateMs?: number
  readonly durationMs?: number
  readonly status?: number
  readonly reason?: string
  /** the beginning of the response's body, 1 KiB at most */
  readonly body?: string
}

/** What both a record and a history entry tell. */
interface Stored {
  readonly record: string
  readonly failures: string
  readonly attemptCounts: string
  readonly end?: TimelineEntry
  /** by how much the successful attempt was late */
  readonly lateMs?: number
}

/**
 * Tells what happened to a message, in order of time, as far as it is kept: its last 5 changes, failed attempts and
 * recoveries, and redrives.
 *
 * @param now epoch ms
 */
export function timelineOf(found: FoundMessage, now: number): TimelineEntry[] {
  if (found.score === null) return []
  try {
    return entriesOf(found.id, storedOf(found, found.score), now)
  } catch (error) {
    // Another program has changed its record; what went wrong with it is kept elsewhere.
    if (error instanceof UnreadableError) return reportsOf(found.failures, found.attemptCounts, 0)
    throw error
  }
}

function storedOf({ state, score, record, failures, attemptCounts }: FoundMessage, at: number): Stored {
  const reason = failures.split('\n', 1)[0]
  switch (state) {
    case 'delivered':
    case 'dropped':
    case 'cancelled': {
      const { finishedAt, lateMs, by, ...entry } = decodeHistoryEntry(record)
      const late = state === 'cancelled' ? {} : { lateMs }
      return {
        ...entry,
        ...late,
        end: { at: finishedAt, event: state, ...(by === undefined ? {} : { by }), ...late },
      }
    }
    case 'dead':
      return { record, failures, attemptCounts, end: { at, event: 'dead', ...(reason ? { reason } : {}) } }
    case 'scheduled':
    case 'claimed':
    case 'stranded':
      return { record, failures, attemptCounts }
    default:
      throw new TypeError(`no timeline of a message that is ${state satisfies never} at ${score}`)
  }
}

function entriesOf(id: string, { record, failures, attemptCounts, end, lateMs }: Stored, now: number) {
  const { dueAt, createdAt } = decodeRecord(record, 'optional')
  const { changes, delivery } = marksOf(record)
  const made = createdAt ?? parseServerMadeId(id)?.createdAt
  const { failures: failed, recoveries } = parseAttemptCounts(attemptCounts)
  const entries: TimelineEntry[] = [
    ...(made === undefined ? [] : [{ at: made, event: 'created' } as const]),
    ...changes.map((change) => ({ event: 'changed', ...change }) as const),
    ...(dueAt <= (end?.at ?? now) ? [{ at: dueAt, event: 'due' } as const] : []),
    ...reportsOf(failures, attemptCounts, dueAt),
  ]
  if (end?.event === 'delivered') {
    const late = lateMs ?? 0
    const attempt = 1 + failed + recoveries
    entries.push({ at: dueAt + late, event: 'attempt', attempt, lateMs: late, ...delivery })
  }
  // What happened in the same ms stays in this order.
  entries.sort((a, b) => a.at - b.at)
  return end === undefined ? entries : [...entries, end]
}

/** Failed attempts, recoveries and redrives, oldest first. */
function reportsOf(failures: string, attemptCounts: string, dueAt: number): TimelineEntry[] {
  const counts = parseAttemptCounts(attemptCounts)
  // Counted from the end: the first may have been forgotten, and a redrive begins again at 1.
  let attempt: number | undefined = counts.failures + counts.recoveries
  const numbered = (): { attempt?: number } => {
    if (attempt === undefined || attempt < 1) return {}
    attempt -= 1
    return { attempt: attempt + 1 }
  }
  return failures
    .split('\n')
    .slice(1)
    .map(parseJson)
    .reverse()
    .flatMap((line): TimelineEntry[] => {
      if (isReport(line)) return [toAttempt(line, dueAt, numbered())]
      if (!isObject(line)) return []
      if (isMoment(line.recovered)) return [{ at: line.recovered, event: 'recovered', ...numbered() }]
      if (!isMoment(line.redriven)) return []
      attempt = undefined
      return [
        { at: line.redriven, event: 'redriven', ...(isText(line.by) ? { by: line.by } : {}) },
        ...(isMoment(line.dead)
          ? [
              {
                at: line.dead,
                event: 'dead',
                ...(isText(line.reason) ? { reason: line.reason } : {}),
              } as const,
            ]
          : []),
      ]
    })
    .reverse()
}

const isMoment = (value: unknown): value is number => typeof value === 'number' && isTime(value)

const toAttempt = (
  { at, error, ...report }: AttemptReport,
  dueAt: number,
  numbered: { attempt?: number },
): TimelineEntry => ({
  ...{ at, event: 'attempt', ...numbered, ...report, lateMs: Math.max(0, at - dueAt) },
  ...(error === undefined ? {} : { reason: error }),
})
