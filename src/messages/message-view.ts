import { parseAttemptCounts } from '../domain/attempt-counts.ts'
import type { AttemptReport, Destination, OnLate, RetryPolicy, StoredMessage } from '../domain/message.ts'
import { parseServerMadeId } from '../domain/message-id.ts'
import { decodeFailures, decodeHistoryEntry } from '../records/history.ts'
import { UnreadableError } from '../records/readable.ts'
import { decodeRecord } from '../records/record.ts'
import type { FoundMessage, State } from '../store/scripts/query.ts'

/** A message as its client may see it. All times are epoch ms. */
export interface Message {
  readonly id: string
  readonly status: State
  readonly dueAt: number
  /** JSON text; null where the history has left it out */
  readonly payload: string | null
  readonly destination: Destination
  readonly tags: readonly string[]
  /** failed deliveries */
  readonly failures: number
  readonly recoveries: number
  readonly version: number
  readonly createdAt: number
  readonly retry?: RetryPolicy
  readonly notAfter?: number
  readonly onLate?: OnLate
  /** when a failed delivery is tried again */
  readonly nextAttemptAt?: number
  /** when it was delivered, dropped or cancelled, or became a dead letter */
  readonly finishedAt?: number
  /** how late it was delivered or dropped, ms */
  readonly lateMs?: number
  /** name of the key that cancelled it */
  readonly cancelledBy?: string
  /** why it is dead, or what its last failed delivery came to: a short code */
  readonly reason?: string
  /** failed deliveries, newest last, 5 at most */
  readonly lastAttempts?: readonly AttemptReport[]
}

/** A finished message of which only the id is still known. */
interface ForgottenMessage {
  readonly id: string
  readonly status: State
}

/** A message whose record or history entry another program has changed, so that it is unreadable. */
export interface UnreadableMessage {
  readonly id: string
  readonly status: State
  /** what there is in place of its record, or of its entry in the history */
  readonly raw: string
  /** as of a Message */
  readonly reason?: string
  readonly lastAttempts?: readonly AttemptReport[]
}

/** Everything that can be known about a message. */
export type KnownMessage = Message | UnreadableMessage | ForgottenMessage

/** Whether what is found of such a message is the history's entry. */
export const isFinished = (state: State): boolean =>
  state === 'delivered' || state === 'dropped' || state === 'cancelled'

/** Makes of what is in Redis what a client sees. */
export function toMessage(found: FoundMessage): KnownMessage {
  const { id, state, score, record, failures } = found
  if (score === null) return { id, status: state }
  return toReadable(found, score) ?? { id, status: state, raw: record, ...decodeFailures(failures) }
}

/** Undefined for a record that cannot be read. */
function toReadable(found: FoundMessage, score: number): Message | undefined {
  try {
    return toMessageOrThrow(found, score)
  } catch (error) {
    if (error instanceof UnreadableError) return undefined
    throw error
  }
}

function toMessageOrThrow(found: FoundMessage, score: number): Message {
  const { id, state } = found
  if (isFinished(state)) {
    const { finishedAt, lateMs, attemptCounts, record, failures, by } = decodeHistoryEntry(found.record)
    const stored = decodeRecord(record, 'optional')
    return {
      ...view(id, state, stored, attemptCounts),
      ...decodeFailures(failures),
      payload: stored.payload === '' ? null : stored.payload,
      finishedAt,
      ...(state === 'cancelled' ? {} : { lateMs }),
      ...(by === undefined ? {} : { cancelledBy: by }),
    }
  }
  const stored = decodeRecord(found.record)
  const message = { ...view(id, state, stored, found.attemptCounts), ...decodeFailures(found.failures) }
  if (state === 'scheduled' && score !== stored.dueAt) return { ...message, nextAttemptAt: score }
  return state === 'dead' ? { ...message, finishedAt: score } : message
}

function view(id: string, status: State, stored: StoredMessage, attemptCounts: string): Message {
  const { createdAt, fingerprint: _, lane: __, destination, tags, ...rest } = stored
  return {
    ...rest,
    ...parseAttemptCounts(attemptCounts),
    id,
    status,
    destination: destination ?? { type: 'console' },
    tags: tags ?? [],
    createdAt: createdAt ?? parseServerMadeId(id)?.createdAt ?? stored.dueAt,
  }
}
