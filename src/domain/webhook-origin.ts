/** As in lua/lib/lanes.lua: scheme, host name and port as the URL spells them, up to what JSON escapes. */
const SPELLED = /^[a-z]+:\/\/[^/?#"\\]+/i

const spelledOrigin = (url: string): string => SPELLED.exec(url)?.[0] ?? ''

/** The scripts bring ASCII to lower case, and nothing else. */
const asScriptsRead = (origin: string): string => origin.replace(/[A-Z]+/g, (part) => part.toLowerCase())

const CACHED_ORIGINS = 1_000
const origins = new Map<string, string>()

/**
 * The canonical origin of a URL: its WHATWG origin (lower case, Punycode, four decimal numbers for IPv4, without the
 * scheme's default port), without the trailing dot of a full domain name.
 *
 * @returns the spelling if it cannot be parsed, or has another scheme than http and https
 */
export function originOf(url: string): string {
  const spelled = spelledOrigin(url)
  let origin = origins.get(spelled)
  if (origin === undefined) {
    if (origins.size === CACHED_ORIGINS) origins.clear()
    origin = readOrigin(spelled)
    origins.set(spelled, origin)
  }
  return origin
}

function readOrigin(spelled: string): string {
  const parsed = /^https?:/i.test(spelled) && URL.canParse(spelled) ? new URL(spelled) : undefined
  if (parsed === undefined) return asScriptsRead(spelled)
  return parsed.origin.replace(/\.(?=(?::\d+)?$)/, '')
}

/** A URL as it is stored: so that the scripts, of this version and of those before, find its origin in it. */
export interface StoredUrl {
  readonly url: string
  /** its scheme, host and port as they were given, where the scripts would find another origin in them */
  readonly spelling?: string
}

export function toStoredUrl(url: string): StoredUrl {
  const spelled = spelledOrigin(url)
  const origin = originOf(url)
  return asScriptsRead(spelled) === origin
    ? { url }
    : { url: origin + url.slice(spelled.length), spelling: spelled }
}

/**
 * @returns the URL as it was given, and the origin by which the scripts choose its lane. A spelling of another host is
 *   left out: a server of an older version, which knows no spellings, may have changed the URL.
 */
export function fromStoredUrl({ url, spelling }: StoredUrl): { url: string; origin: string } {
  const stored = spelledOrigin(url)
  const origin = asScriptsRead(stored)
  const isOfIt = spelling !== undefined && originOf(spelling) === origin
  return { url: isOfIt ? spelling + url.slice(stored.length) : url, origin }
}
