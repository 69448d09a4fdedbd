import { fromStored, toStored } from '../destinations/stored.ts'
import { isJson } from '../domain/json/scan.ts'
import { isObject, isText, isTextOrAbsent, parseJson } from '../domain/json/shape.ts'
import type {
  Destination,
  MessageOptions,
  OnLate,
  RecordForm,
  RetryPolicy,
  StoredMessage,
} from '../domain/message.ts'
import { isTime, unreadableError } from './readable.ts'

/** The newest that this version reads. */
export const NEWEST_FORM: RecordForm = 2

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
 * @param form of the destination
 */
export function encodeRecordBody(
  payload: string,
  options: MessageOptions = {},
  fingerprint?: string,
  form: RecordForm = NEWEST_FORM,
): string {
  if (fingerprint === undefined && Object.keys(options).length === 0) return `\n${payload}`
  const stored = Object.fromEntries(encodeOptions(options, form).filter(([, value]) => value !== ''))
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
  form: RecordForm = NEWEST_FORM,
): [name: string, value: string][] {
  const encoded: [string, string][] = []
  if ('destination' in options) encoded.push(...encodeDestination(options.destination, form))
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

/** The destination, "" for the console, and the spelling of its host where that is stored beside it. */
function encodeDestination(
  destination: Destination | undefined,
  form: RecordForm,
): [name: string, value: string][] {
  const { text, spelling } = toStored(destination ?? { type: 'console' }, form)
  return [
    ['d', text],
    ['u', spelling],
  ]
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
    ...(stored.d === undefined ? { lane: '' } : decodeDestination(stored.d, stored.u, record)),
    ...(stored.t === undefined ? {} : { tags: stored.t }),
    ...(stored.r === undefined ? {} : { retry: JSON.parse(stored.r) as RetryPolicy }),
    ...(stored.n === undefined ? {} : { notAfter: Number(stored.n) }),
    ...(stored.l === undefined ? {} : { onLate: stored.l as OnLate }),
  }
}

function decodeDestination(text: string, spelling: string | undefined, record: string) {
  const decoded = fromStored(text, spelling)
  if (decoded === undefined) throw unreadableError('message record', record)
  return decoded
}

/** Undefined for what this file and our scripts would not have written. */
function decodeOptions(text: string): StoredOptions | undefined {
  const stored = parseJson(text)
  if (!isObject(stored)) return undefined
  const { d, u, t, r, n, l, c, v, f } = stored
  const isSound =
    [d, u, f, l].every(isTextOrAbsent) &&
    [n, c].every((time) => time === undefined || (isText(time) && isTime(Number(time)))) &&
    (t === undefined || (Array.isArray(t) && t.every(isText))) &&
    (v === undefined || Number.isSafeInteger(v)) &&
    (r === undefined || (isText(r) && isObject(parseJson(r))))
  return isSound ? (stored as StoredOptions) : undefined
}
