import { isIP } from 'node:net'
import type { DestinationDeps, DestinationProblem } from '../kind.ts'
import { type AllowList, isAllowed } from './addresses.ts'
import type { WebhookDestination } from './schema.ts'

const LONGEST_URL = 2_048
const MOST_HEADERS = 50
const MOST_HEADER_BYTES = 8_192

/** What is wrong with a webhook that a client wants to schedule; empty if nothing is. */
export function webhookDestinationProblems(
  { url, headers = {} }: WebhookDestination,
  { allow }: Pick<DestinationDeps, 'allow'>,
): DestinationProblem[] {
  const wrongUrl = urlProblem(url, allow)
  return [
    ...(wrongUrl === undefined ? [] : [{ path: '/destination/url', message: wrongUrl }]),
    ...headerProblems(Object.entries(headers)),
  ]
}

/**
 * The parser of URLs repairs what it can: it takes backslashes for slashes, drops line breaks, and reads http:host and
 * http:///host. Another reader, a person included, may see another host there, so all of that is refused before.
 */
function urlProblem(text: string, allow: AllowList): string | undefined {
  if (text.length > LONGEST_URL) return `must be at most ${LONGEST_URL} characters long`
  const [, authority] = /^https?:\/\/([^/?#]+)/i.exec(text) ?? []
  if (authority === undefined) return 'must be a URL that begins with http:// or https:// and a host'
  if (/[\s\p{Cc}\\"]/u.test(text))
    return 'must not have white space, control characters, backslashes or quotation marks'
  if (authority.includes('@'))
    return 'must not have credentials or an @ before the path; use a header for credentials'
  if (!URL.canParse(text)) return 'must be a valid URL'
  return hostProblem(new URL(text).hostname, allow)
}

function hostProblem(hostname: string, allow: AllowList): string | undefined {
  // The parser has turned every spelling of an IPv4 address into four decimal numbers, and put brackets around IPv6.
  const address = hostname.replace(/^\[(.*)\]$/, '$1')
  const addresses = isIP(address) !== 0 ? [address] : isLocalhost(hostname) ? ['127.0.0.1', '::1'] : undefined
  if (addresses === undefined || addresses.some((one) => isAllowed(one, hostname, allow))) return undefined
  return 'must have a public address, or one that WEBHOOK_ALLOW lists'
}

const isLocalhost = (hostname: string): boolean => /(?:^|\.)localhost\.?$/.test(hostname)

/** RFC 9110, 5.6.2 */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/** Ours, and those by which a request could be split or its connection be changed. */
const REFUSED_NAMES: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'connection',
  'expect',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])
const REFUSED_PREFIX = /^(?:webhook|carillon)-/

/** What HTTP can carry in a value, RFC 9110, 5.5: tab, and all of Latin-1 but its control characters. */
const HEADER_VALUE = /^[\t\x20-\x7e\xa0-\xff]*$/

function headerProblems(headers: readonly [name: string, value: string][]): DestinationProblem[] {
  const path = '/destination/headers'
  if (headers.length > MOST_HEADERS) return [{ path, message: `must be at most ${MOST_HEADERS} headers` }]
  const bytes = headers.reduce((sum, [name, value]) => sum + name.length + value.length, 0)
  if (bytes > MOST_HEADER_BYTES) {
    return [{ path, message: `must be at most ${MOST_HEADER_BYTES} bytes, names and values together` }]
  }
  const seen = new Set<string>()
  return headers.flatMap(([name, value]) => {
    const lowerCase = name.toLowerCase()
    const message = headerProblem(lowerCase, value, seen)
    seen.add(lowerCase)
    return message === undefined ? [] : [{ path: `${path}/${asPointer(name)}`, message }]
  })
}

function headerProblem(name: string, value: string, seen: ReadonlySet<string>): string | undefined {
  if (!TOKEN.test(name)) return "must have a name of letters, digits and !#$%&'*+-.^_`|~ only"
  if (REFUSED_NAMES.has(name) || REFUSED_PREFIX.test(name))
    return 'must not be set: the service sets this header itself'
  if (seen.has(name)) return 'must not be set twice, in upper and lower case'
  if (!HEADER_VALUE.test(value)) return 'must be printable Latin-1 characters and tabs'
  return undefined
}

/** RFC 6901 */
const asPointer = (name: string): string => name.replaceAll('~', '~0').replaceAll('/', '~1')
