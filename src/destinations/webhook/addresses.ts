import { isIP, isIPv6 } from 'node:net'
import ipaddr from 'ipaddr.js'

type Address = ipaddr.IPv4 | ipaddr.IPv6
type Range = readonly [base: Address, prefixLength: number]

/** What webhooks may reach in addition to public addresses. */
export interface AllowList {
  /** host names that may resolve to any address; in lower case, without a trailing dot */
  readonly names: ReadonlySet<string>
  /** addresses that any name may resolve to */
  readonly ranges: readonly Range[]
}

export const WEBHOOK_ALLOW_FORM =
  'CIDRs, addresses and host names without scheme and port, comma-separated, such as ' +
  '10.0.0.0/8,[fd00::1],hooks.internal'

/**
 * Reads the setting WEBHOOK_ALLOW; empty text allows nothing more.
 *
 * @throws Error that names the entry that is none of CIDR, address and host name
 */
export function parseAllowList(text: string): AllowList {
  const names = new Set<string>()
  const ranges: Range[] = []
  for (const entry of text === '' ? [] : text.split(',').map((part) => part.trim())) {
    const range = parseRange(entry)
    const name = range === undefined ? parseName(entry) : undefined
    if (range !== undefined) ranges.push(range)
    else if (name !== undefined) names.add(name)
    else throw new Error(`${JSON.stringify(entry)} is not a CIDR, address or host name`)
  }
  return { names, ranges }
}

function parseRange(entry: string): Range | undefined {
  const [, bracketed, plain, prefix] = /^(?:\[([^\]/]+)\]|([^[\]/]+))(?:\/(\d{1,3}))?$/.exec(entry) ?? []
  const address = bracketed ?? plain ?? ''
  // Stricter than ipaddr.js, which reads 10.1 and 012.0.0.1 too, and not all programs read those alike.
  if (isIP(address) === 0 || (bracketed !== undefined && !isIPv6(address))) return undefined
  const base = ipaddr.parse(address)
  const longest = base.kind() === 'ipv4' ? 32 : 128
  const prefixLength = prefix === undefined ? longest : Number(prefix)
  return prefixLength <= longest ? [base, prefixLength] : undefined
}

const HOST_NAME =
  /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/

/** A name as in a URL's `hostname`: in lower case, and in Punycode if needed. */
function parseName(entry: string): string | undefined {
  // What would end a URL's host is no part of a name.
  if (/[\s:/?#@\\[\]%]/.test(entry) || !URL.canParse(`http://${entry}/`)) return undefined
  const name = bareName(new URL(`http://${entry}/`).hostname)
  return HOST_NAME.test(name) && isIP(name) === 0 ? name : undefined
}

const bareName = (hostname: string): string => hostname.toLowerCase().replace(/\.$/, '')

/**
 * Whether a webhook may connect to an address.
 *
 * @param address IPv4 or IPv6, without brackets; anything else is not allowed
 * @param hostname the URL's, which led to it
 */
export function isAllowed(address: string, hostname: string, allow: AllowList): boolean {
  if (allow.names.has(bareName(hostname))) return true
  if (isIP(address) === 0) return false
  const whole = ipaddr.parse(address)
  const embedded = isV6(whole) ? embeddedIPv4(whole) : undefined
  if (isPublic(embedded ?? whole)) return true
  return allow.ranges.some(
    (range) => isWithin(whole, range) || (embedded !== undefined && isWithin(embedded, range)),
  )
}

const isV6 = (address: Address): address is ipaddr.IPv6 => address.kind() === 'ipv6'

// ipaddr.js throws on one kind compared with the other.
const isWithin = (address: Address, [base, prefixLength]: Range): boolean =>
  address.kind() === base.kind() && address.match(base, prefixLength)

/** IPv6 that ends up at an IPv4 address; `at` is the first of the two groups that hold it. */
const EMBEDDINGS: readonly { readonly within: Range; readonly at: number }[] = [
  { within: ipaddr.parseCIDR('::ffff:0:0/96'), at: 6 }, // mapped, RFC 4291
  { within: ipaddr.parseCIDR('::/96'), at: 6 }, // compatible, RFC 4291; holds :: and ::1, which 0.0.0.0/8 blocks
  { within: ipaddr.parseCIDR('64:ff9b::/96'), at: 6 }, // NAT64, RFC 6052
  { within: ipaddr.parseCIDR('2002::/16'), at: 1 }, // 6to4, RFC 3056
]

function embeddedIPv4(address: ipaddr.IPv6): ipaddr.IPv4 | undefined {
  const found = EMBEDDINGS.find(({ within }) => isWithin(address, within))
  if (found === undefined) return undefined
  return new ipaddr.IPv4(address.toByteArray().slice(found.at * 2, found.at * 2 + 4))
}

/** All of IPv6 that is given out as global unicast, RFC 4291. To ipaddr.js the rest, such as 4000::, is unicast too. */
const GLOBAL_UNICAST_V6 = ipaddr.parseCIDR('2000::/3')

/** Public by its look, but within Azure every machine's way to its host, where settings and keys are told. */
const AZURE_HOST = ipaddr.parseCIDR('168.63.129.16/32')

/**
 * Whether an address is globally routable unicast. ipaddr.js names the ranges of IANA's special-purpose registries for
 * IPv4 and IPv6. A few of them are routable, for services that no webhook is (AS112, AMT, ORCHID): they are left out.
 */
function isPublic(address: Address): boolean {
  if (address.range() !== 'unicast') return false
  return isV6(address) ? isWithin(address, GLOBAL_UNICAST_V6) : !isWithin(address, AZURE_HOST)
}
