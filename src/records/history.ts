import { isNumberOrAbsent, isObject, isTextOrAbsent, parseJson } from '../domain/json/shape.ts'
import type { AttemptReport } from '../domain/message.ts'
import { isTime, unreadableError } from './readable.ts'

/** What the history says of a finished message: a line of counts, its record, and what went wrong on the way. */
export interface HistoryEntry {
  readonly finishedAt: number
  readonly lateMs: number
  readonly attemptCounts: string
  readonly record: string
  /** name of the key that cancelled the message; absent where it is not known, and for what is not cancelled */
  readonly by?: string
  /** see decodeFailures */
  readonly failures: string
}

/** Decodes a history entry, see lua/lib/history.lua. @throws UnreadableError when it is not one */
export function decodeHistoryEntry(entry: string): HistoryEntry {
  const match = /^\w+ (\d+) (\d{1,15}) (\d+ \d+)(?: ([\w.-]+))?\n/.exec(entry)
  if (match === null || !isTime(Number(match[1]))) throw unreadableError('history entry', entry)
  const [line, finishedAt, lateMs, attemptCounts = '', by] = match
  // Neither a record's head nor its payload has a line break within it.
  const [head = '', payload = '', ...failures] = entry.slice(line.length).split('\n')
  return {
    finishedAt: Number(finishedAt),
    lateMs: Number(lateMs),
    attemptCounts,
    record: `${head}\n${payload}`,
    ...(by === undefined ? {} : { by }),
    failures: failures.join('\n'),
  }
}

/** Reads what went wrong with a message, see lua/lib/failures.lua; "" for nothing. Only attempts are reported. */
export function decodeFailures(failures: string): { reason?: string; lastAttempts?: AttemptReport[] } {
  if (failures === '') return {}
  const [reason = '', ...reports] = failures.split('\n')
  return { reason, lastAttempts: reports.map(parseJson).filter(isReport) }
}

export const isReport = (value: unknown): value is AttemptReport =>
  isObject(value) &&
  isTime(Number(value.at)) &&
  Number.isInteger(value.claim) &&
  Number.isInteger(value.durationMs) &&
  isNumberOrAbsent(value.status) &&
  isTextOrAbsent(value.error) &&
  isTextOrAbsent(value.server) &&
  isTextOrAbsent(value.body)
