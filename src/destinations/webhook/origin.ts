/** Scheme, host name and port as the URL spells them, up to what JSON escapes. */
const SPELLED = /^[a-z]+:\/\/[^/?#"\\]+/i

/** "" where the URL does not begin with them */
export const spelledOrigin = (url: string): string => SPELLED.exec(url)?.[0] ?? ''

/** ASCII in lower case, and nothing else changed. */
export const inLowerCase = (origin: string): string => origin.replace(/[A-Z]+/g, (part) => part.toLowerCase())

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
  if (parsed === undefined) return inLowerCase(spelled)
  return parsed.origin.replace(/\.(?=(?::\d+)?$)/, '')
}
