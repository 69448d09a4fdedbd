/** Where a message goes: its type, and the fields of that type, see src/destinations/registry.ts. */
export type Destination = {
  readonly type: string
  readonly [field: string]: unknown
}

/** One failed delivery, as it is kept with its message. */
export interface AttemptReport {
  /** when it began, epoch ms by Redis's clock */
  readonly at: number
  readonly claim: number
  readonly durationMs: number
  /** of the response, if there was one */
  readonly status?: number
  /** what went wrong, in words */
  readonly error?: string
  /** the beginning of the response's body, 1 KiB at most */
  readonly body?: string
  /** id of the server that made it; absent for a worker's, and where it is not known */
  readonly server?: string
}

/** How failed deliveries are tried again; what is absent is as the service has it by default. */
export interface RetryPolicy {
  readonly attempts?: number
  readonly minMs?: number
  readonly maxMs?: number
  readonly factor?: number
  readonly jitter?: 'full' | 'none'
}

/** What becomes of a message that could not be delivered before its not-after. */
export type OnLate = 'deliver' | 'drop' | 'dead-letter'

/** The options of a message: everything except its payload and its due time. */
export interface MessageOptions {
  readonly destination?: Destination
  readonly tags?: readonly string[]
  readonly retry?: RetryPolicy
  /** epoch ms */
  readonly notAfter?: number
  readonly onLate?: OnLate
}

/** 9999-12-31T23:59:59.999Z, the last time that ISO 8601 writes with four digits of year, and that we take. */
export const LAST_MS = 253_402_300_799_999

/** When a message is due: at an epoch ms, or so many ms from now by Redis's clock. */
export type Due = { readonly at: number } | { readonly inMs: number }

/** A message as Redis stores it. */
export interface StoredMessage extends MessageOptions {
  /** When the client wanted it delivered, epoch ms. Stays the same through claims and retries. */
  readonly dueAt: number
  /** The payload as JSON text, kept unparsed: most readers only pass it on. */
  readonly payload: string
  readonly version: number
  /** epoch ms; null for a server-made id, which tells it itself */
  readonly createdAt: number | null
  /** see fingerprintOf; null for a server-made id */
  readonly fingerprint: string | null
  /** where it waits, see DestinationKind; "" for the main set */
  readonly lane: string
}

/** The policy of a message that says nothing of it, unless settings say otherwise. */
export const DEFAULT_RETRY: Required<RetryPolicy> = {
  attempts: 5,
  minMs: 1_000,
  maxMs: 3_600_000,
  factor: 2,
  jitter: 'full',
}

/**
 * The forms in which a destination is stored: 1 is JSON, see src/destinations/json-form.ts; 2 is `<lane>`, or
 * `<lane> <rest>`, of which scripts read the lane and, of a stream, the rest.
 */
export type RecordForm = 1 | 2
