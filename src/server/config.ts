import { isIPv4 } from 'node:net'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { parseAllowList, WEBHOOK_ALLOW_FORM } from '../destinations/webhook/addresses.ts'
import { parseWebhookSecrets, WEBHOOK_SECRETS_FORM } from '../destinations/webhook/secrets.ts'
import { DEFAULT_RETRY } from '../domain/message.ts'
import { API_KEYS_FORM, parseApiKeys } from '../http/plugins/api-keys.ts'
import {
  ALLOWED_HOSTS_FORM,
  CORS_ORIGINS_FORM,
  parseAllowedHosts,
  parseCorsOrigins,
} from '../http/plugins/hosts.ts'
import { parseTrustedProxies, TRUST_PROXY_FORM } from '../http/plugins/trusted-proxies.ts'
import { CA_FILE_FORM, readCaFile } from '../store/ca-file.ts'
import { parseRedisTarget, parseRedisUrl, REDIS_URL_FORMS, type RedisTarget } from '../store/redis-url.ts'

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
const ROLES = ['api', 'worker'] as const

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
  PROCESSES: wholeNumber(1, 256, 'servers behind that port, a process each'),
  REDIS_URL: Type.Optional(Type.String({ description: REDIS_URL_FORMS })),
  REDIS_CA_FILE: Type.Optional(Type.String({ description: CA_FILE_FORM })),
  SENTINEL_USERNAME: Type.Optional(Type.String({ description: 'a user of the sentinels' })),
  SENTINEL_PASSWORD: Type.Optional(Type.String({ description: 'a password of the sentinels' })),
  ALLOW_EVICTION: Type.Boolean({ description: 'true or false' }),
  API_KEYS: Type.Optional(Type.String({ description: API_KEYS_FORM })),
  ALLOW_OPEN: Type.Boolean({ description: 'true or false' }),
  ALLOWED_HOSTS: Type.Optional(Type.String({ description: ALLOWED_HOSTS_FORM })),
  CORS_ORIGINS: Type.Optional(Type.String({ description: CORS_ORIGINS_FORM })),
  TRUST_PROXY: Type.Optional(Type.String({ description: TRUST_PROXY_FORM })),
  RATE_LIMIT_PER_MINUTE: wholeNumber(0, 1_000_000_000, 'requests a minute for each key (0 for any number)'),
  NAMESPACE: Type.String({
    pattern: '^[A-Za-z0-9._-]{1,64}$',
    description: '1 to 64 of A-Z a-z 0-9 . _ -, with which all keys begin',
  }),
  SHARDS: wholeNumber(1, 1024, 'groups of keys'),
  LOCK_TTL_MS: wholeNumber(1_000, 86_400_000, 'how long a claim lasts, in ms'),
  CLAIM_BATCH: wholeNumber(1, 5_000, 'messages per claim'),
  BODY_LIMIT_BYTES: wholeNumber(1_024, 268_435_456, 'the largest message, in bytes'),
  BATCH_BODY_LIMIT_BYTES: wholeNumber(1_024, 268_435_456, 'the largest JSON batch, in bytes'),
  DEDUP_WINDOW_MS: wholeNumber(0, 2_592_000_000, 'how long finished client-made ids stay known, in ms'),
  HISTORY_MAX: wholeNumber(0, 10_000_000, 'finished messages remembered'),
  HISTORY_TTL_MS: wholeNumber(0, 2_592_000_000, 'how long finished messages are remembered, in ms'),
  DEAD_MAX: wholeNumber(0, 10_000_000, 'dead letters kept'),
  DEAD_TTL_MS: wholeNumber(0, 315_360_000_000, 'how long dead letters are kept, in ms'),
  RETRY_ATTEMPTS: wholeNumber(1, 1_000, 'deliveries of a message at most, the first included'),
  RETRY_MIN_MS: wholeNumber(1, 2_592_000_000, 'the first wait after a failed delivery, in ms'),
  RETRY_MAX_MS: wholeNumber(1, 2_592_000_000, 'the longest wait after a failed delivery, in ms'),
  RETRY_FACTOR: Type.Number({
    minimum: 1,
    maximum: 100,
    description: 'by how much each wait is longer, a number from 1 to 100',
  }),
  RETRY_JITTER: Type.Union([Type.Literal('full'), Type.Literal('none')], { description: 'full or none' }),
  MAX_RECOVERIES: wholeNumber(0, 1_000, 'claims of a message that may expire before it is given up'),
  DELIVERY_CONCURRENCY: wholeNumber(1, 10_000, 'webhooks under way at a time'),
  HOST_CONCURRENCY: wholeNumber(1, 10_000, 'webhooks under way at a time to one host'),
  WEBHOOK_SECRETS: Type.Optional(Type.String({ description: WEBHOOK_SECRETS_FORM })),
  WEBHOOK_ALLOW: Type.Optional(Type.String({ description: WEBHOOK_ALLOW_FORM })),
  READY_MAX_LATE_MS: wholeNumber(
    0,
    2_592_000_000,
    'how late the longest overdue message may be on a server that is ready, in ms',
  ),
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
  PROCESSES: '1',
  ALLOW_EVICTION: 'false',
  ALLOW_OPEN: 'false',
  RATE_LIMIT_PER_MINUTE: '0',
  NAMESPACE: 'carillon',
  LOCK_TTL_MS: '30000',
  CLAIM_BATCH: '500',
  BODY_LIMIT_BYTES: '1048576',
  BATCH_BODY_LIMIT_BYTES: '16777216',
  DEDUP_WINDOW_MS: '3600000',
  HISTORY_MAX: '10000',
  HISTORY_TTL_MS: '3600000',
  DEAD_MAX: '10000',
  DEAD_TTL_MS: '1209600000',
  RETRY_ATTEMPTS: String(DEFAULT_RETRY.attempts),
  RETRY_MIN_MS: String(DEFAULT_RETRY.minMs),
  RETRY_MAX_MS: String(DEFAULT_RETRY.maxMs),
  RETRY_FACTOR: String(DEFAULT_RETRY.factor),
  RETRY_JITTER: DEFAULT_RETRY.jitter,
  MAX_RECOVERIES: '3',
  DELIVERY_CONCURRENCY: '256',
  HOST_CONCURRENCY: '32',
  READY_MAX_LATE_MS: '60000',
  SHUTDOWN_GRACE_MS: '10000',
  LOG_LEVEL: 'info',
  ROLES: 'api,worker',
}

/** Settings whose value has no place in a log. */
const SECRETS: ReadonlySet<string> = new Set(['API_KEYS', 'WEBHOOK_SECRETS', 'SENTINEL_PASSWORD'])

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
    const why = problemWith(name, text)
    if (why !== undefined || !Value.Check(schema, given[name])) {
      const shown = SECRETS.has(name) ? 'cannot be used' : `is ${JSON.stringify(withoutPassword(text))}`
      problems.push(`${name} ${shown}${why === undefined ? '' : ` (${why})`}; allowed: ${schema.description}`)
    }
  }
  const { RETRY_MIN_MS, RETRY_MAX_MS } = given
  if (Number(RETRY_MIN_MS) > Number(RETRY_MAX_MS)) {
    problems.push(`RETRY_MIN_MS is ${RETRY_MIN_MS}, which is more than RETRY_MAX_MS, ${RETRY_MAX_MS}`)
  }
  if (problems.length > 0) throw new ConfigError(problems.join('; '))
  const config = Value.Parse(ConfigSchema, given)
  if (!isLoopback(config.HOST) && config.API_KEYS === undefined && !config.ALLOW_OPEN) {
    throw new ConfigError(
      `HOST is ${JSON.stringify(config.HOST)}, which other machines may reach, and without API_KEYS everyone who does ` +
        'is let in; set API_KEYS, or ALLOW_OPEN=true where that is meant',
    )
  }
  return Object.freeze(config)
}

/** The Redis that settings name. @throws TypeError for a `REDIS_URL` that cannot be read, as none can */
export const redisTargetOf = (config: Config): RedisTarget =>
  parseRedisTarget(config.REDIS_URL ?? '', {
    ca: config.REDIS_CA_FILE === undefined ? undefined : readCaFile(config.REDIS_CA_FILE),
    sentinelUsername: config.SENTINEL_USERNAME,
    sentinelPassword: config.SENTINEL_PASSWORD,
  })

/** Whether only programs on this machine can reach what listens there. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))
}

/** As it may stand in a log: the credentials of a URL left out. */
const withoutPassword = (text: string): string => text.replace(/\/\/.*@/, '//***@')

function fromText(type: string | undefined, text: string): unknown {
  switch (type) {
    case 'integer':
      return /^\d{1,15}$/.test(text) ? Number(text) : text
    case 'number':
      return /^\d{1,15}(\.\d{1,15})?$/.test(text) ? Number(text) : text
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text
    case 'array':
      return text.split(',').map((part) => part.trim())
    default:
      return text
  }
}

/**
 * What is wrong with a setting that has a parser of its own, in that parser's words, which leave out what is secret.
 */
function problemWith(name: string, text: string): string | undefined {
  switch (name) {
    case 'REDIS_URL':
      return redisUrlProblem(text)
    case 'REDIS_CA_FILE':
      return problemOf(() => readCaFile(text))
    case 'API_KEYS':
      return problemOf(() => parseApiKeys(text))
    case 'ALLOWED_HOSTS':
      return problemOf(() => parseAllowedHosts(text))
    case 'CORS_ORIGINS':
      return problemOf(() => parseCorsOrigins(text))
    case 'TRUST_PROXY':
      return problemOf(() => parseTrustedProxies(text))
    case 'WEBHOOK_SECRETS':
      return problemOf(() => parseWebhookSecrets(text))
    case 'WEBHOOK_ALLOW':
      return problemOf(() => parseAllowList(text))
    default:
      return undefined
  }
}

const redisUrlProblem = (text: string) => problemOf(() => parseRedisUrl(text))

function problemOf(parse: () => unknown): string | undefined {
  try {
    parse()
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function defaultShards(redisUrl: string | undefined): number {
  if (!redisUrl || redisUrlProblem(redisUrl) !== undefined) return 1
  return parseRedisUrl(redisUrl).kind === 'cluster' ? CLUSTER_SHARDS : 1
}
