import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { parseRedisUrl, REDIS_URL_FORMS } from './redis/url.ts'

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
const ROLES = ['api', 'worker'] as const
export type Role = (typeof ROLES)[number]

const wholeNumber = (minimum: number, maximum: number, description: string) =>
  Type.Integer({
    minimum,
    maximum,
    description: `${description}, a whole number from ${minimum} to ${maximum}`,
  })

/** Every setting, with what is allowed in words; `description` is what a bad value is answered with. */
const ConfigSchema = Type.Object({
  HOST: Type.String({ minLength: 1, description: 'the address to listen on' }),
  PORT: wholeNumber(0, 65_535, 'the port to listen on (0 picks one)'),
  REDIS_URL: Type.Optional(Type.String({ description: REDIS_URL_FORMS })),
  ALLOW_EVICTION: Type.Boolean({ description: 'true or false' }),
  NAMESPACE: Type.String({
    pattern: '^[A-Za-z0-9._-]{1,64}$',
    description: '1 to 64 of A-Z a-z 0-9 . _ -, with which all keys begin',
  }),
  SHARDS: wholeNumber(1, 1024, 'groups of keys'),
  LOCK_TTL_MS: wholeNumber(1_000, 86_400_000, 'how long a claim lasts, in ms'),
  CLAIM_BATCH: wholeNumber(1, 5_000, 'messages per claim'),
  SHUTDOWN_GRACE_MS: wholeNumber(0, 3_600_000, 'time to finish at shutdown, in ms'),
  LOG_LEVEL: Type.Union(
    LOG_LEVELS.map((level) => Type.Literal(level)),
    { description: `one of ${LOG_LEVELS.join(', ')}` },
  ),
  ROLES: Type.Array(Type.Union(ROLES.map((role) => Type.Literal(role))), {
    minItems: 1,
    uniqueItems: true,
    description: `${ROLES.join(', ')} or both, comma-separated`,
  }),
})
export type Config = Readonly<Static<typeof ConfigSchema>>

const CLUSTER_SHARDS = 16

const DEFAULTS: Readonly<Record<string, string>> = {
  HOST: '127.0.0.1',
  PORT: '3000',
  ALLOW_EVICTION: 'false',
  NAMESPACE: 'carillon',
  LOCK_TTL_MS: '30000',
  CLAIM_BATCH: '500',
  SHUTDOWN_GRACE_MS: '10000',
  LOG_LEVEL: 'info',
  ROLES: 'api,worker',
}

/** What one bad setting is answered with, all of them in one line. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

/**
 * Reads the settings from the environment; an empty variable counts as unset.
 *
 * @throws ConfigError one line that names every bad setting, its value and what is allowed
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const problems: string[] = []
  const given: Record<string, unknown> = {}
  for (const [name, schema] of Object.entries(ConfigSchema.properties)) {
    const text =
      env[name] || DEFAULTS[name] || (name === 'SHARDS' ? String(defaultShards(env.REDIS_URL)) : undefined)
    if (text === undefined) continue
    given[name] = fromText(schema.type, text)
    const why = name === 'REDIS_URL' ? redisUrlProblem(text) : undefined
    if (why !== undefined || !Value.Check(schema, given[name])) {
      // A Redis URL may hold a password, which has no place in a log.
      const shown = name === 'REDIS_URL' ? `cannot be used: ${why}` : `is ${JSON.stringify(text)}`
      problems.push(`${name} ${shown}; allowed: ${schema.description}`)
    }
  }
  if (problems.length > 0) throw new ConfigError(problems.join('; '))
  return Object.freeze(Value.Parse(ConfigSchema, given))
}

function fromText(type: string | undefined, text: string): unknown {
  switch (type) {
    case 'integer':
      return /^\d{1,15}$/.test(text) ? Number(text) : text
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text
    case 'array':
      return text.split(',').map((part) => part.trim())
    default:
      return text
  }
}

function redisUrlProblem(text: string): string | undefined {
  try {
    parseRedisUrl(text)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function defaultShards(redisUrl: string | undefined): number {
  if (!redisUrl || redisUrlProblem(redisUrl) !== undefined) return 1
  return parseRedisUrl(redisUrl).kind === 'cluster' ? CLUSTER_SHARDS : 1
}
