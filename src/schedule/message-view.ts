import {
  type AttemptReport,
  type Destination,
  decodeFailures,
  decodeHistoryEntry,
  decodeRecord,
  type OnLate,
  parseAttempts,
  type RetryPolicy,
  type StoredMessage,
} from '../message.ts'
import { parseServerMadeId } from '../message-id.ts'
import type { FoundMessage, State } from '../redis/message-scripts.ts'

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
  /** when it was delivered, dropped or given up */
  readonly finishedAt?: number
  /** how late it was then, ms */
  readonly lateMs?: number
  /** why it is dead, or what its last failed delivery came to: a short code */
  readonly reason?: string
  /** failed deliveries, newest last, 5 at most */
  readonly lastAttempts?: readonly AttemptReport[]
}

/** A finished message of which only the id is still known. */
export interface ForgottenMessage {
  readonly id: string
  readonly status: State
}

/** Makes of what lies in Redis what a client sees. */
export function toMessage(found: FoundMessage): Message | ForgottenMessage {
  const { id, state, score } = found
  if (score === null) return { id, status: state }
  if (state === 'delivered' || state === 'dropped') {
    const { finishedAt, lateMs, attempts, record, failures } = decodeHistoryEntry(found.record)
    const stored = decodeRecord(record)
    return {
      ...view(id, state, stored, attempts),
      ...decodeFailures(failures),
      payload: stored.payload === '' ? null : stored.payload,
      finishedAt,
      lateMs,
    }
  }
  const stored = decodeRecord(found.record)
  const message = { ...view(id, state, stored, found.attempts), ...decodeFailures(found.failures) }
  if (state === 'scheduled' && score !== stored.dueAt) return { ...message, nextAttemptAt: score }
  return state === 'dead' ? { ...message, finishedAt: score } : message
}

function view(id: string, status: State, stored: StoredMessage, attempts: string): Message {
  const { createdAt, fingerprint: _, hostOrigin: __, destination, tags, ...rest } = stored
  return {
    ...rest,
    ...parseAttempts(attempts),
    id,
    status,
    destination: destination ?? { type: 'console' },
    tags: tags ?? [],
    createdAt: createdAt ?? parseServerMadeId(id)?.createdAt ?? stored.dueAt,
  }
}
