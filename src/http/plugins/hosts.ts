/** Where a request was sent, or where a page came from. */
export interface Authority {
  /** as the URL standard spells it, without a trailing dot: lower case, IPv4 as four numbers, IPv6 in brackets */
  readonly name: string
  /** digits; empty where none is given */
  readonly port: string
}

export const ALLOWED_HOSTS_FORM =
  'host names and addresses, with or without a port, comma-separated, such as carillon.internal,[fd00::1]:3000'
export const CORS_ORIGINS_FORM =
  'origins (http or https, a host, and a port if it is not the default), comma-separated, such as ' +
  'https://app.example.com'

const AUTHORITY = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(\d{0,5}))?$/i
const LAST_PORT = 65_535

/** Parses a Host header or the like. @returns undefined if it is not a host and port */
export function parseAuthority(text: string): Authority | undefined {
  const [, host = '', port = ''] = AUTHORITY.exec(text) ?? []
  if (host === '' || Number(port) > LAST_PORT || !URL.canParse(`http://${host}/`)) return undefined
  const name = new URL(`http://${host}/`).hostname.replace(/\.$/, '')
  return name === '' ? undefined : { name, port: port === '' ? '' : String(Number(port)) }
}

const DEFAULT_PORTS: Readonly<Record<string, string>> = { http: '80', https: '443' }

/**
 * Reads an origin as a browser writes it.
 * @returns its port given in any case; undefined for `null`, for other schemes, and for what is no origin
 */
export function parseOrigin(text: string): (Authority & { readonly scheme: string }) | undefined {
  const [, given = '', rest = ''] = /^(https?):\/\/([^/]+)$/i.exec(text) ?? []
  const authority = parseAuthority(rest)
  if (authority === undefined) return undefined
  const scheme = given.toLowerCase()
  return { scheme, name: authority.name, port: authority.port || (DEFAULT_PORTS[scheme] ?? '') }
}

/** Whether a page of that origin came from this host; without a port the host has the default one of the scheme. */
export const isOriginOf = (
  origin: NonNullable<ReturnType<typeof parseOrigin>>,
  { name, port }: Authority,
): boolean => origin.name === name && origin.port === (port || DEFAULT_PORTS[origin.scheme])

/** Whether an entry of ALLOWED_HOSTS is for that host; one without a port is for every port. */
export const isEntryFor = (entry: Authority, { name, port }: Authority): boolean =>
  entry.name === name &&
  (entry.port === '' ||
    entry.port === port ||
    (port === '' && Object.values(DEFAULT_PORTS).includes(entry.port)))

/** Whether a name always resolves to this machine, so that no other site can have it. RFC 6761, 6.3 */
export const isLoopbackName = (name: string): boolean =>
  /(?:^|\.)localhost$/.test(name) ||
  /^127(?:\.\d{1,3}){3}$/.test(name) ||
  name === '[::1]' ||
  /^\[::ffff:7f[0-9a-f]{2}:[0-9a-f]{1,4}\]$/.test(name) // 127.0.0.0/8, mapped

/** Reads the setting ALLOWED_HOSTS. @throws Error that names the entry that is no host */
export const parseAllowedHosts = (text: string): readonly Authority[] =>
  entriesOf(text).map((entry) => {
    const host = parseAuthority(/^[0-9a-f:.]*:[0-9a-f:.]*:/i.test(entry) ? `[${entry}]` : entry)
    if (host === undefined) throw new Error(`${JSON.stringify(entry)} is not a host name or address`)
    return host
  })

/**
 * Reads the setting CORS_ORIGINS.
 * @returns the origins as browsers write them @throws Error that names the entry that is no origin
 */
export const parseCorsOrigins = (text: string): readonly string[] =>
  entriesOf(text).map((entry) => {
    if (parseOrigin(entry) === undefined) throw new Error(`${JSON.stringify(entry)} is not an origin`)
    return new URL(entry).origin
  })

const entriesOf = (text: string): string[] => (text === '' ? [] : text.split(',').map((part) => part.trim()))
