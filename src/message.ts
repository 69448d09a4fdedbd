import { createHash } from 'node:crypto'
import { stringify } from 'safe-stable-stringify'

/** Where a message goes. */
export interface Destination {
  readonly type: 'console'
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

/** What a client may say of a message besides its payload and its time. */
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

/** A message as it lies in Redis. */
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
}

/** The options as they stand in a record; see lua/lib/record.lua, which reads and writes them too. */
interface StoredOptions {
  d?: string
  t?: string[]
  r?: string
  n?: string
  l?: string
  c?: string
  v?: number
  f?: string
}

/**
 * Encodes all of a message's record but its due time, which the script puts in front, so that
 * `HGET {carillon:0}:messages <id>` reads `1730104372243`, a line break, and the payload's JSON.
 * Between the due time and the line break stand the options as JSON, where there are any.
 *
 * @param payload JSON text
 * @param fingerprint of a message whose id the client made, see fingerprintOf
 */
export function encodeRecordBody(
  payload: string,
  options: MessageOptions = {},
  fingerprint?: string,
): string {
  if (fingerprint === undefined && Object.keys(options).length === 0) return `\n${payload}`
  const stored = Object.fromEntries(encodeOptions(options).filter(([, value]) => value !== ''))
  const tags = stored.t === undefined ? {} : { t: JSON.parse(stored.t) as string[] }
  const all: StoredOptions = { ...stored, ...tags, ...(fingerprint === undefined ? {} : { f: fingerprint }) }
  return `${Object.keys(all).length === 0 ? '' : JSON.stringify(all)}\n${payload}`
}

/**
 * The options by their stored names, as `reschedule` takes them: "" for one that is given but is the default or
 * undefined, which removes it.
 */
export function encodeOptions(
  options: {
    readonly [Name in keyof MessageOptions]: MessageOptions[Name] | undefined
  },
): [name: string, value: string][] {
  const encoded: [string, string][] = []
  if ('destination' in options) encoded.push(['d', encodeDestination(options.destination)])
  if ('tags' in options)
    encoded.push([
      't',
      options.tags?.length ? JSON.stringify([...new Set(options.tags.map(wellFormed))]) : '',
    ])
  if ('retry' in options)
    encoded.push(['r', options.retry === undefined ? '' : JSON.stringify(options.retry)])
  if ('notAfter' in options)
    encoded.push(['n', options.notAfter === undefined ? '' : String(options.notAfter)])
  if ('onLate' in options) encoded.push(['l', options.onLate ?? ''])
  return encoded
}

/** Half a surrogate pair becomes U+FFFD: the JSON reader of the scripts fails on it, and with it a whole batch. */
const wellFormed = (text: string): string => Buffer.from(text).toString()

function encodeDestination(destination: Destination | undefined): string {
  return destination === undefined || destination.type === 'console' ? '' : JSON.stringify(destination)
}

const NO_OPTIONS: StoredOptions = {}

/** Decodes a whole record. @throws TypeError when it is not one */
export function decodeRecord(record: string): StoredMessage {
  const lineBreak = record.indexOf('\n')
  const brace = record.indexOf('{')
  const hasOptions = brace !== -1 && brace < lineBreak
  const dueAt = Number(record.slice(0, hasOptions ? brace : lineBreak))
  if (lineBreak < 1 || !Number.isSafeInteger(dueAt)) {
    throw new TypeError(`not a message record: ${JSON.stringify(record.slice(0, 80))}`)
  }
  // What is read here was written by this file and by our scripts.
  const stored = hasOptions ? (JSON.parse(record.slice(brace, lineBreak)) as StoredOptions) : NO_OPTIONS
  return {
    dueAt,
    payload: record.slice(lineBreak + 1),
    version: stored.v ?? 1,
    createdAt: stored.c === undefined ? null : Number(stored.c),
    fingerprint: stored.f ?? null,
    ...(stored.d === undefined ? {} : { destination: JSON.parse(stored.d) as Destination }),
    ...(stored.t === undefined ? {} : { tags: stored.t }),
    ...(stored.r === undefined ? {} : { retry: JSON.parse(stored.r) as RetryPolicy }),
    ...(stored.n === undefined ? {} : { notAfter: Number(stored.n) }),
    ...(stored.l === undefined ? {} : { onLate: stored.l as OnLate }),
  }
}

/** What the history says of a finished message: a line of counts, and its record. */
export interface Outcome {
  readonly finishedAt: number
  readonly lateMs: number
  readonly attempts: string
  readonly record: string
}

/** Decodes a history entry, see lua/lib/history.lua. @throws TypeError when it is not one */
export function decodeOutcome(entry: string): Outcome {
  const match = /^\w+ (\d+) (\d+) (\d+ \d+)\n/.exec(entry)
  if (match === null) throw new TypeError(`not a history entry: ${JSON.stringify(entry.slice(0, 80))}`)
  const [line, finishedAt, lateMs, attempts = ''] = match
  return {
    finishedAt: Number(finishedAt),
    lateMs: Number(lateMs),
    attempts,
    record: entry.slice(line.length),
  }
}

/** Reads "<failures> <recoveries>", "" for neither. */
export function parseAttempts(attempts: string): { failures: number; recoveries: number } {
  if (attempts === '') return NO_ATTEMPTS
  const [failures, recoveries] = attempts.split(' ').map(Number)
  return { failures: failures ?? 0, recoveries: recoveries ?? 0 }
}

const NO_ATTEMPTS = { failures: 0, recoveries: 0 }

const DEFAULT_RETRY: RetryPolicy = { attempts: 5, minMs: 1_000, maxMs: 3_600_000, factor: 2, jitter: 'full' }

/**
 * Tells whether two requests with one id ask for the same: a hash of all that was asked, with the defaults filled in
 * and keys sorted. A delay counts as the delay it was given as, and not as the time it led to.
 */
export function fingerprintOf(due: Due, payload: unknown, options: MessageOptions): string {
  const { destination = { type: 'console' }, tags = [], notAfter = null, onLate = 'deliver' } = options
  const retry = { ...DEFAULT_RETRY, ...options.retry }
  const content = String(stringify({ due, payload, destination, tags, retry, notAfter, onLate }))
  return createHash('sha256').update(content).digest('base64url').slice(0, 22)
}
