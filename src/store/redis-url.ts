export interface Credentials {
  readonly username?: string
  readonly password?: string
}

interface Common extends Credentials {
  readonly tls: boolean
  /** certificates of authorities in PEM form, for TLS; those of the system unless given */
  readonly ca?: string
  readonly db: number
}

interface RedisNode {
  readonly host: string
  readonly port: number
}

/** Where Redis is, as `REDIS_URL` says it. */
export type RedisTarget =
  | ({ readonly kind: 'single' } & RedisNode & Common)
  | ({ readonly kind: 'socket'; readonly path: string } & Common)
  | ({ readonly kind: 'cluster'; readonly nodes: readonly RedisNode[] } & Common)
  | ({
      readonly kind: 'sentinel'
      readonly sentinels: readonly RedisNode[]
      readonly name: string
      /** for the sentinels; the others are for Redis, and for sentinels that want some where these are left out */
      readonly sentinelCredentials?: Credentials
    } & Common)

/** What more there is to know than a `REDIS_URL` says. */
export interface TargetSettings {
  readonly ca?: string | undefined
  readonly sentinelUsername?: string | undefined
  readonly sentinelPassword?: string | undefined
}

export const REDIS_URL_FORMS =
  'redis://[user:password@]host:port[/db]; rediss://... with TLS; unix:///path/to.sock[?db=n]; ' +
  'several comma-separated nodes for a Redis Cluster; ' +
  'redis+sentinel://[user:password@]host:port,host:port/name[/db]; ' +
  'rediss+sentinel://... with TLS to sentinels and Redis'

/**
 * Reads a `REDIS_URL`.
 * @throws TypeError with a reason that names no password
 */
export function parseRedisUrl(text: string): RedisTarget {
  if (/^rediss?\+sentinel:\/\//.test(text)) return parseSentinel(text)
  const parts = text.split(',')
  const [first = '', ...more] = parts
  const scheme = /^(redis|rediss|unix):\/\//.exec(first)?.[1]
  if (scheme === undefined) throw new TypeError('it does not begin with redis://, rediss:// or unix://')
  if (scheme === 'unix') return parseSocket(text)

  const url = parseUrl(first)
  const common = commonOf(url, scheme === 'rediss')
  if (more.length === 0) return { kind: 'single', ...nodeOf(url), ...common }

  const urls = parts.map((part) => parseUrl(part.includes('://') ? part : `${scheme}://${part}`))
  if (urls.some((each) => commonOf(each, false).db !== 0))
    throw new TypeError('Redis Cluster has only database 0')
  return { kind: 'cluster', nodes: urls.map((each) => nodeOf(each)), ...common }
}

/** Reads a `REDIS_URL`, and adds what other settings say. @throws as parseRedisUrl does */
export function parseRedisTarget(url: string, settings: TargetSettings): RedisTarget {
  const { ca, sentinelUsername: username, sentinelPassword: password } = settings
  const parsed = parseRedisUrl(url)
  const target = ca === undefined ? parsed : { ...parsed, ca }
  if (target.kind !== 'sentinel' || (username === undefined && password === undefined)) return target
  const sentinelCredentials = {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  }
  return { ...target, sentinelCredentials }
}

function parseSocket(text: string): RedisTarget {
  const url = parseUrl(text)
  const path = decodeURIComponent(url.pathname)
  if (path.length < 2) throw new TypeError('unix:// needs the absolute path of a socket')
  return { kind: 'socket', path, ...commonOf(url, false) }
}

function parseSentinel(text: string): RedisTarget {
  const match = /^redis(s?)\+sentinel:\/\/(?:([^@/]*)@)?([^/]+)\/([^/?]+)(?:\/(\d+))?$/.exec(text)
  if (match === null)
    throw new TypeError("redis+sentinel:// needs sentinels and, after a slash, the master's name")
  const [, secure, credentials, hosts = '', name = '', db] = match
  const sentinels = hosts.split(',').map((part) => nodeOf(parseUrl(`redis://${part}`), 26_379))
  const url = parseUrl(`redis://${credentials === undefined ? '' : `${credentials}@`}localhost/${db ?? ''}`)
  return { kind: 'sentinel', sentinels, name: decodeURIComponent(name), ...commonOf(url, secure === 's') }
}

function parseUrl(text: string): URL {
  try {
    return new URL(text)
  } catch {
    throw new TypeError('it is not a URL')
  }
}

function nodeOf(url: URL, defaultPort = 6379): RedisNode {
  if (url.hostname === '') throw new TypeError('a host is missing')
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? defaultPort : Number(url.port),
  }
}

function commonOf(url: URL, tls: boolean): Common {
  const db = url.searchParams.get('db') ?? (url.protocol === 'unix:' ? '' : url.pathname.slice(1))
  if (!/^\d{0,4}$/.test(db)) throw new TypeError(`the database must be a number, not ${JSON.stringify(db)}`)
  return {
    tls,
    db: Number(db),
    ...(url.username === '' ? {} : { username: decodeURIComponent(url.username) }),
    ...(url.password === '' ? {} : { password: decodeURIComponent(url.password) }),
  }
}

/** The target as people may see it in logs: without credentials. */
export function describeTarget(target: RedisTarget): string {
  const at = ({ host, port }: RedisNode) => `${host}:${port}`
  switch (target.kind) {
    case 'single':
      return at(target)
    case 'socket':
      return target.path
    case 'cluster':
      return `cluster ${target.nodes.map(at).join(',')}`
    case 'sentinel':
      return `${target.name} at sentinels ${target.sentinels.map(at).join(',')}`
    default:
      return target satisfies never
  }
}
