import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { NAME } from '../../domain/names.ts'

/** Every scope but those for one queue. */
export const SCOPES = ['read', 'browse', 'write', 'pull'] as const
/**
 * What a key may do; none includes another. `browse` is to read what `read` does, without payloads, headers and bodies.
 * `pull` is to lease messages of any queue, and to say what became of them, `pull:<queue>` the same for one.
 */
export type Scope = (typeof SCOPES)[number] | `pull:${string}`

/** A key as the server knows it: all but the key itself. */
export interface ApiKey {
  readonly name: string
  readonly sha256: Buffer
  readonly scopes: readonly Scope[]
}

export const API_KEYS_FORM =
  'name:sha256:scopes, comma-separated; name: 1 to 64 of A-Z a-z 0-9 . _ -; sha256: the SHA-256 of the key as 64 hex ' +
  'digits; scopes: read, browse, write, pull and pull:<queue>, joined by +; `npm run key -- NAME write` makes a key'

/** So that a scanner for secrets can tell a key that strayed into a repository or a log. */
const KEY_PREFIX = 'carillon_'
const KEY_BYTES = 32

/**
 * Reads the setting API_KEYS; empty text holds no keys.
 *
 * @throws Error that says which entry is wrong by its position only: a name may be a hash, or even a key, that was put
 * in the wrong place, and neither belongs in a log
 */
export function parseApiKeys(text: string): readonly ApiKey[] {
  if (text === '') return []
  const keys = text.split(',').map((entry, i) => parseEntry(entry.trim(), `entry ${i + 1}`))
  for (const [i, key] of keys.entries()) {
    const sameName = keys.findIndex(({ name }) => name === key.name)
    if (sameName < i) throw new Error(`entries ${sameName + 1} and ${i + 1} have the same name`)
    const sameKey = keys.findIndex(({ sha256 }) => sha256.equals(key.sha256))
    if (sameKey < i) throw new Error(`entries ${sameKey + 1} and ${i + 1} are the same key`)
  }
  return keys
}

/** Splits at the first two colons, as the name of a queue may have some. */
function parseEntry(entry: string, which: string): ApiKey {
  const [, name = '', sha256 = '', scopesText = ''] = /^([^:]*)(?::([^:]*)(?::(.*))?)?$/s.exec(entry) ?? []
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(name)) throw new Error(`${which} has no name that is allowed`)
  if (!/^[0-9a-f]{64}$/i.test(sha256)) throw new Error(`${which} has no SHA-256 of 64 hex digits`)
  const scopes = scopesText.split('+')
  if (!scopes.every(isScope))
    throw new Error(`${which} has other scopes than read, browse, write, pull and pull:<queue>`)
  if (new Set(scopes).size < scopes.length) throw new Error(`${which} has a scope twice`)
  return { name, sha256: Buffer.from(sha256, 'hex'), scopes }
}

const QUEUE = new RegExp(NAME.pattern)
const isScope = (word: string): word is Scope =>
  SCOPES.some((scope) => scope === word) ||
  (word.startsWith('pull:') && QUEUE.test(word.slice('pull:'.length)))

/**
 * Finds the key that was presented. Every entry is compared, and each in constant time, so that the time it takes
 * tells nothing of what is stored. No salt and no slow hash: a key of 256 random bits cannot be guessed from its hash.
 *
 * @param presented as Node reads a header: one character for each byte that came
 */
export function findApiKey(keys: readonly ApiKey[], presented: string): ApiKey | undefined {
  const sha256 = sha256Of(presented)
  let found: ApiKey | undefined
  for (const key of keys) if (timingSafeEqual(key.sha256, sha256)) found = key
  return found
}

/** Makes a new key: the half for the client, and the half for API_KEYS. */
export function makeApiKey(name: string, scopes: string): { key: string; entry: string } {
  const key = KEY_PREFIX + randomBytes(KEY_BYTES).toString('base64url')
  const entry = `${name}:${sha256Of(key).toString('hex')}:${scopes}`
  return { key, entry }
}

const sha256Of = (key: string) => hash('sha256', Buffer.from(key, 'latin1'), 'buffer')
