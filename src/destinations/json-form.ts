import { isNumberOrAbsent, isObject, isText, parseJson } from '../domain/json/shape.ts'
import type { Destination } from '../domain/message.ts'
import type { PullDestination } from './pull/kind.ts'
import type { StreamDestination } from './stream/kind.ts'
import { isWebhook } from './webhook/kind.ts'
import { inLowerCase, originOf, spelledOrigin } from './webhook/origin.ts'

/**
 * How destinations were stored before their lanes were: as JSON in which those servers' scripts find the lane. It is
 * written while one of those servers is alive, and read for as long as there are messages of theirs.
 *
 * Their scripts rely on the order of the fields, and take for a webhook's lane its scheme, host and port as they are in
 * the URL, in lower case. So a URL of another spelling is stored with the origin, and its spelling beside it.
 */
export interface JsonForm {
  readonly text: string
  /** scheme, host and port of a webhook as they were given, where the text has others */
  readonly spelling?: string | undefined
}

/** @returns undefined for kinds that those servers do not know, and for the console, of which nothing is stored */
export function toJsonForm(destination: Destination): JsonForm | undefined {
  if (isWebhook(destination)) {
    const { type, url, ...rest } = destination
    const spelled = spelledOrigin(url)
    const origin = originOf(url)
    if (inLowerCase(spelled) === origin) return { text: JSON.stringify({ type, url, ...rest }) }
    const stored = { type, url: origin + url.slice(spelled.length), ...rest }
    return { text: JSON.stringify(stored), spelling: spelled }
  }
  if (isStream(destination)) {
    const { type, name, maxLen } = destination
    return { text: JSON.stringify({ type, name, maxLen }) }
  }
  if (!isPull(destination)) return undefined
  const { type, queue } = destination
  return { text: JSON.stringify({ type, queue }) }
}

/** @returns undefined for what those servers have not written */
export function fromJsonForm({
  text,
  spelling,
}: JsonForm): { lane: string; destination: Destination } | undefined {
  const value = parseJson(text)
  if (isWebhook(value)) {
    const stored = spelledOrigin(value.url)
    const origin = inLowerCase(stored)
    // A spelling of another host is left out: a server that knows no spellings may have changed the URL.
    const isOfIt = spelling !== undefined && originOf(spelling) === origin
    const url = isOfIt ? spelling + value.url.slice(stored.length) : value.url
    return { lane: origin === '' ? '' : `webhook:${origin}`, destination: { ...value, url } }
  }
  if (isStream(value)) return { lane: 'stream', destination: value }
  if (isPull(value)) return { lane: `pull:${value.queue}`, destination: value }
  return isObject(value) && value.type === 'console'
    ? { lane: '', destination: { type: 'console' } }
    : undefined
}

const isStream = (value: unknown): value is StreamDestination =>
  isObject(value) && value.type === 'stream' && isText(value.name) && isNumberOrAbsent(value.maxLen)

const isPull = (value: unknown): value is PullDestination =>
  isObject(value) && value.type === 'pull' && isText(value.queue)
