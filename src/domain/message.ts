import { createHash } from 'node:crypto'
import { stringify } from 'safe-stable-stringify'
import { canonicalOf } from './json/canonical.ts'
import { isJson } from './json/scan.ts'
import { fromStoredUrl, toStoredUrl } from './webhook-origin.ts'

export const WEBHOOK_METHODS = ['POST', 'PUT', 'PATCH', 'DELETE', 'GET'] as const

/** An HTTP endpoint; what is absent is as by default. */
export interface WebhookDestination {
  readonly type: 'webhook'
  readonly url: string
  /** POST unless given */
  readonly method?: (typeof WEBHOOK_METHODS)[number]
  readonly headers?: Readonly<Record<string, string>>
  /** DEFAULT_WEBHOOK_TIMEOUT_MS unless given */
  readonly timeoutMs?: number
}
export const DEFAULT_WEBHOOK_TIMEOUT_MS = 15_000

/** Where a message goes. */
export type Destination =
  | { readonly type: 'console' }
  | WebhookDestination
  | { readonly type: 'stream'; readonly name: string; readonly maxLen?: number }
  | { readonly type: 'pull'; readonly queue: string }

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
  /** of a webhook: the origin whose lane it waits in, see lua/lib/lanes.lua */
  readonly hostOrigin?: string
}

/** The options as a record has them; see lua/lib/record.lua, which reads and writes them too. */
interface StoredOptions {
  d?: string
  u?: string
  t?: string[]
  r?: string
  n?: string
  l?: string
  c?: string
  v?: number
  f?: string
}

/**
 * Encodes a message's record without its due time. The script puts the due time in front, so that `HGET
 * {carillon:0}:messages <id>` reads `1730104372243`, a line break, and the payload's JSON. The options, if any, are
 * JSON between the due time and the line break.
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
  if ('destination' in options) encoded.push(...encodeDestination(options.destination))
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

/** The destination, "" for the console, and where it is a webhook's the spelling of its host. */
function encodeDestination(destination: Destination | undefined): [name: string, value: string][] {
  if (destination?.type !== 'webhook')
    return [
      ['d', destinationText(destination)],
      ['u', ''],
    ]
  const { url, spelling = '' } = toStoredUrl(destination.url)
  return [
    ['d', destinationText({ ...destination, url })],
    ['u', spelling],
  ]
}

/** With its fields in the order that the scripts rely on; see lua/lib/lanes.lua and streams.lua. "" for the console. */
function destinationText(destination: Destination | undefined): string {
  switch (destination?.type) {
    case undefined:
    case 'console':
      return ''
    case 'webhook': {
      const { type, url, ...rest } = destination
      return JSON.stringify({ type, url, ...rest })
    }
    case 'stream': {
      const { type, name, maxLen } = destination
      return JSON.stringify({ type, name, maxLen })
    }
    case 'pull': {
      const { type, queue } = destination
      return JSON.stringify({ type, queue })
    }
    default:
      return destination satisfies never
  }
}

/** A record that this file and the scripts do not write: another program has changed it. */
export class UnreadableError extends TypeError {
  override readonly name = 'UnreadableError'
}

const NO_OPTIONS: StoredOptions = {}

/**
 * Decodes a whole record.
 *
 * @param presence whether it may have been stored without its payload, which is "" then
 * @throws UnreadableError when it is not one
 */
export function decodeRecord(record: string, presence: 'required' | 'optional' = 'required'): StoredMessage {
  const lineBreak = record.indexOf('\n')
  const brace = record.indexOf('{')
  const hasOptions = brace !== -1 && brace < lineBreak
  const dueAt = Number(record.slice(0, hasOptions ? brace : lineBreak))
  if (lineBreak < 1 || !isTime(dueAt)) throw unreadableError('message record', record)
  const stored = hasOptions ? decodeOptions(record.slice(brace, lineBreak)) : NO_OPTIONS
  const payload = record.slice(lineBreak + 1)
  if (stored === undefined || !(payload === '' ? presence === 'optional' : isJson(payload))) {
    throw unreadableError('message record', record)
  }
  return {
    dueAt,
    payload,
    version: stored.v ?? 1,
    createdAt: stored.c === undefined ? null : Number(stored.c),
    fingerprint: stored.f ?? null,
    ...(stored.d === undefined ? {} : decodeDestination(stored.d, stored.u)),
    ...(stored.t === undefined ? {} : { tags: stored.t }),
    ...(stored.r === undefined ? {} : { retry: JSON.parse(stored.r) as RetryPolicy }),
    ...(stored.n === undefined ? {} : { notAfter: Number(stored.n) }),
    ...(stored.l === undefined ? {} : { onLate: stored.l as OnLate }),
  }
}

type DecodedDestination = { readonly destination: Destination; readonly hostOrigin?: string }

const unreadableError = (what: string, text: string) =>
  new UnreadableError(`not a ${what}: ${JSON.stringify(text.slice(0, 80))}`)

/** The last time that a Date can hold. Scripts add to times without checking the calendar. */
const LAST_DATE_MS = 8_640_000_000_000_000
const isTime = (ms: number): boolean => Number.isInteger(ms) && ms >= 0 && ms <= LAST_DATE_MS

const CACHED_DESTINATIONS = 1_000
const destinations = new Map<string, DecodedDestination>()

/**
 * Answers the same object for the same text, as most messages have the same destinations. Callers may cache by it.
 *
 * @param spelling of a webhook's host, see toStoredUrl
 */
function decodeDestination(text: string, spelling: string | undefined): DecodedDestination {
  const key = spelling === undefined ? text : `${spelling} ${text}`
  let decoded = destinations.get(key)
  if (decoded === undefined) {
    if (destinations.size === CACHED_DESTINATIONS) destinations.clear()
    decoded = readDestination(text, spelling)
    destinations.set(key, decoded)
  }
  return decoded
}

function readDestination(text: string, spelling: string | undefined): DecodedDestination {
  const destination = parse(text)
  if (!isDestination(destination)) throw unreadableError('destination', text)
  if (destination.type !== 'webhook') return { destination }
  const { url, origin } = fromStoredUrl({
    url: destination.url,
    ...(spelling === undefined ? {} : { spelling }),
  })
  return { destination: { ...destination, url }, hostOrigin: origin }
}

/** Undefined for a text that is not JSON. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isText = (value: unknown): value is string => typeof value === 'string'
const isTextOrAbsent = (value: unknown): boolean => value === undefined || isText(value)
const isNumberOrAbsent = (value: unknown): boolean => value === undefined || typeof value === 'number'

/** Whether it is a usable destination: this file wrote it, unless another program has changed it. */
function isDestination(value: unknown): value is Destination {
  if (!isObject(value)) return false
  const { headers = {} } = value
  switch (value.type) {
    case 'console':
      return true
    case 'webhook':
      return (
        isText(value.url) &&
        isTextOrAbsent(value.method) &&
        isNumberOrAbsent(value.timeoutMs) &&
        isObject(headers) &&
        Object.values(headers).every(isText)
      )
    case 'stream':
      return isText(value.name) && isNumberOrAbsent(value.maxLen)
    case 'pull':
      return isText(value.queue)
    default:
      return false
  }
}

/** Undefined for what this file and our scripts would not have written. */
function decodeOptions(text: string): StoredOptions | undefined {
  const stored = parse(text)
  if (!isObject(stored)) return undefined
  const { d, u, t, r, n, l, c, v, f } = stored
  const isSound =
    [d, u, f, l].every(isTextOrAbsent) &&
    [n, c].every((time) => time === undefined || (isText(time) && isTime(Number(time)))) &&
    (t === undefined || (Array.isArray(t) && t.every(isText))) &&
    (v === undefined || Number.isSafeInteger(v)) &&
    (r === undefined || (isText(r) && isObject(parse(r))))
  return isSound ? (stored as StoredOptions) : undefined
}

/** What the history says of a finished message: a line of counts, its record, and what went wrong on the way. */
export interface HistoryEntry {
  readonly finishedAt: number
  readonly lateMs: number
  readonly attemptCounts: string
  readonly record: string
  /** see decodeFailures */
  readonly failures: string
}

/** Decodes a history entry, see lua/lib/history.lua. @throws UnreadableError when it is not one */
export function decodeHistoryEntry(entry: string): HistoryEntry {
  const match = /^\w+ (\d+) (\d{1,15}) (\d+ \d+)\n/.exec(entry)
  if (match === null || !isTime(Number(match[1]))) throw unreadableError('history entry', entry)
  const [line, finishedAt, lateMs, attemptCounts = ''] = match
  // Neither a record's head nor its payload has a line break within it.
  const [head = '', payload = '', ...failures] = entry.slice(line.length).split('\n')
  return {
    finishedAt: Number(finishedAt),
    lateMs: Number(lateMs),
    attemptCounts,
    record: `${head}\n${payload}`,
    failures: failures.join('\n'),
  }
}

/** Reads what went wrong with a message, see lua/lib/failures.lua; "" for nothing. What is no report is left out. */
export function decodeFailures(failures: string): { reason?: string; lastAttempts?: AttemptReport[] } {
  if (failures === '') return {}
  const [reason = '', ...reports] = failures.split('\n')
  return { reason, lastAttempts: reports.map(parse).filter(isReport) }
}

const isReport = (value: unknown): value is AttemptReport =>
  isObject(value) &&
  isTime(Number(value.at)) &&
  Number.isInteger(value.claim) &&
  Number.isInteger(value.durationMs) &&
  isNumberOrAbsent(value.status) &&
  isTextOrAbsent(value.error) &&
  isTextOrAbsent(value.body)

const ATTEMPT_COUNTS = /^(\d{1,15}) (\d{1,15})$/

/** Reads "<failures> <recoveries>"; "" and anything else count as neither, as in the scripts. */
export function parseAttemptCounts(text: string): { failures: number; recoveries: number } {
  if (text === '') return NO_ATTEMPT_COUNTS
  const [, failures = 0, recoveries = 0] = ATTEMPT_COUNTS.exec(text) ?? []
  return { failures: Number(failures), recoveries: Number(recoveries) }
}

const NO_ATTEMPT_COUNTS = { failures: 0, recoveries: 0 }

/** The policy of a message that says nothing of it, unless settings say otherwise. */
export const DEFAULT_RETRY: Required<RetryPolicy> = {
  attempts: 5,
  minMs: 1_000,
  maxMs: 3_600_000,
  factor: 2,
  jitter: 'full',
}

/**
 * Tells whether two requests with one id ask for the same: a hash of all that was asked, with the defaults filled in
 * and keys sorted. A delay counts as the delay it was given as, and not as the time it led to.
 *
 * @param payload JSON text without white space outside strings; see canonicalOf for what counts as the same
 */
export function fingerprintOf(due: Due, payload: string, options: MessageOptions): string {
  const { tags = [], notAfter = null, onLate = 'deliver' } = options
  const destination = withDefaults(options.destination)
  const retry = { ...DEFAULT_RETRY, ...options.retry }
  // In the order of their names, as they are sorted within each. Servers of other versions store the same hashes.
  const before = String(stringify({ destination, due, notAfter, onLate }))
  const behind = String(stringify({ retry, tags }))
  const content = `${before.slice(0, -1)},"payload":${canonicalOf(payload)},${behind.slice(1)}`
  return createHash('sha256').update(content).digest('base64url').slice(0, 22)
}

const withDefaults = (destination: Destination = { type: 'console' }): Destination =>
  destination.type === 'webhook'
    ? { method: 'POST', headers: {}, timeoutMs: DEFAULT_WEBHOOK_TIMEOUT_MS, ...destination }
    : destination
