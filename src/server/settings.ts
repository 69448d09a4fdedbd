import { type Static, type TSchema, Type } from '@sinclair/typebox'
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
import { parseRedisUrl, REDIS_URL_FORMS } from '../store/redis-url.ts'
import { MOST_SHARDS } from '../store/scripts/shard-counts.ts'

/** What a setting's schema says of it: everything that is known of a setting is written once, below. */
export interface SettingFacts {
  /** what it does, for docs/reference/settings.md, as Markdown */
  readonly description: string
  /** the rule in words, for an error and for the docs */
  readonly allowed: string
  /** its value where it is not set */
  readonly default?: unknown
  /** its default on a Redis Cluster, if it is another one */
  readonly clusterDefault?: unknown
  /** what the docs call its default, if it is not a value of its own */
  readonly unset?: string
  /** checks a value that its type alone cannot check. @throws Error that says what is wrong, and nothing secret */
  readonly parse?: (text: string) => unknown
  /** whether its value must not be logged */
  readonly secret?: true
}
type Setting<T extends TSchema> = T & SettingFacts

const ROLES = ['api', 'worker'] as const
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
const JITTERS = ['full', 'none'] as const
const TEST_CLOCKS = ['false', 'true', 'force'] as const

const whole = (range: { default: number; from: number; to: number }, description: string) => {
  const { from: minimum, to: maximum } = range
  const allowed = `a whole number from ${minimum} to ${maximum}`
  return setting(Type.Integer({ minimum, maximum }), { default: range.default, allowed, description })
}
const flag = (description: string) =>
  setting(Type.Boolean(), { default: false, allowed: 'true or false', description })
const optional = (facts: SettingFacts) => Type.Optional(setting(Type.String(), { unset: 'none', ...facts }))

const DAY_MS = 86_400_000
const MONTH_MS = 30 * DAY_MS
const MOST_BYTES = 268_435_456

/** Every setting, in the order of the docs. */
export const SETTINGS = Type.Object({
  HOST: setting(Type.String({ minLength: 1 }), {
    default: '127.0.0.1',
    allowed: 'an address or a host name',
    description: 'address to listen on. A public address requires `API_KEYS` or `ALLOW_OPEN=true`',
  }),
  PORT: whole({ default: 3000, from: 0, to: 65_535 }, 'port to listen on. 0 picks a free one and logs it'),
  PROCESSES: whole(
    { default: 1, from: 1, to: 256 },
    'server processes on this machine that share the port, led by one more process. About one per core',
  ),
  ROLES: setting(Type.Array(wordsOf(ROLES), { minItems: 1, uniqueItems: true }), {
    default: [...ROLES],
    allowed: `${ROLES.join(', ')} or both, comma-separated`,
    description: '`api` accepts messages, `worker` delivers them',
  }),
  LOG_LEVEL: setting(wordsOf(LOG_LEVELS), {
    default: 'info',
    allowed: `one of ${LOG_LEVELS.join(', ')}`,
    description: 'the lowest level that is logged. Delivered messages are not log lines',
  }),
  SHUTDOWN_GRACE_MS: whole(
    { default: 10_000, from: 0, to: 3_600_000 },
    'how long a server that stops may finish what it has claimed',
  ),
  REDIS_URL: optional({
    unset: 'an embedded Redis',
    allowed: REDIS_URL_FORMS,
    description:
      'the Redis that keeps the messages: see [Cluster and Sentinel](../operate/cluster-and-sentinel.md)',
    parse: parseRedisUrl,
  }),
  REDIS_CA_FILE: optional({
    unset: "the system's authorities",
    allowed: CA_FILE_FORM,
    description: 'the certificate authorities that Redis and the sentinels are verified with',
    parse: readCaFile,
  }),
  SENTINEL_USERNAME: optional({
    allowed: 'a user name',
    description: 'user of the sentinels, if it differs from the one in `REDIS_URL`',
  }),
  SENTINEL_PASSWORD: optional({
    allowed: 'a password',
    description: 'password of the sentinels, if it differs. Without a user it is the one of `requirepass`',
    secret: true,
  }),
  NAMESPACE: setting(Type.String({ pattern: '^[A-Za-z0-9._-]{1,64}$' }), {
    default: 'carillon',
    allowed: '1 to 64 of A-Z a-z 0-9 . _ -',
    description: 'first part of all key names. Several schedulers can share one Redis',
  }),
  SHARDS: setting(Type.Integer({ minimum: 1, maximum: MOST_SHARDS }), {
    default: 1,
    clusterDefault: 16,
    allowed: `a whole number from 1 to ${MOST_SHARDS}`,
    description:
      'groups of keys that messages are spread over. It can be raised while servers run, and never lowered',
  }),
  ALLOW_EVICTION: flag('`true` accepts a Redis that may evict keys, and with them locks and messages'),
  LOCK_TTL_MS: whole(
    { default: 30_000, from: 1_000, to: DAY_MS },
    'how long a claim lasts. If its server dies, other servers deliver its messages after this time',
  ),
  CLAIM_BATCH: whole({ default: 500, from: 1, to: 5_000 }, 'messages that a server claims at a time'),
  MAX_RECOVERIES: whole(
    { default: 3, from: 0, to: 1_000 },
    'claims of a message that may expire before it becomes a dead letter',
  ),
  API_KEYS: optional({
    allowed: API_KEYS_FORM,
    description: 'the keys that clients need: see [API keys](../operate/security.md#api-keys)',
    parse: parseApiKeys,
    secret: true,
  }),
  ALLOW_OPEN: flag('`true` lets a server without keys listen on a public address, under any `Host`'),
  ALLOWED_HOSTS: optional({
    allowed: ALLOWED_HOSTS_FORM,
    description:
      'names of this service, in addition to loopback names. Without a port it means any port in a `Host`, and the ' +
      'default port in an `Origin`; with a port, this port',
    parse: parseAllowedHosts,
  }),
  TRUST_PROXY: optional({
    allowed: TRUST_PROXY_FORM,
    description:
      'proxies whose `X-Forwarded-*` headers are trusted: see [Behind a proxy](../operate/proxies.md)',
    parse: parseTrustedProxies,
  }),
  CORS_ORIGINS: optional({
    allowed: CORS_ORIGINS_FORM,
    description: 'origins whose pages may use the API',
    parse: parseCorsOrigins,
  }),
  RATE_LIMIT_PER_MINUTE: whole(
    { default: 0, from: 0, to: 1_000_000_000 },
    'requests per minute to one server for a key, or for an address without a key. A batch is one request. 0 means ' +
      'no limit. Each of `PROCESSES` counts by itself',
  ),
  BODY_LIMIT_BYTES: whole({ default: 1_048_576, from: 1_024, to: MOST_BYTES }, 'largest message'),
  BATCH_BODY_LIMIT_BYTES: whole({ default: 16_777_216, from: 1_024, to: MOST_BYTES }, 'largest JSON batch'),
  DEDUP_WINDOW_MS: whole(
    { default: 3_600_000, from: 0, to: MONTH_MS },
    "how long clients' ids stay known after their messages are finished",
  ),
  HISTORY_MAX: whole(
    { default: 10_000, from: 0, to: 10_000_000 },
    'finished messages that the history keeps. 0 turns it off and costs nothing',
  ),
  HISTORY_TTL_MS: whole(
    { default: 3_600_000, from: 0, to: MONTH_MS },
    'how long the history keeps them. 0 turns it off',
  ),
  WEBHOOK_SECRETS: optional({
    allowed: WEBHOOK_SECRETS_FORM,
    description: 'secrets that sign webhooks. All of them sign',
    parse: parseWebhookSecrets,
    secret: true,
  }),
  WEBHOOK_ALLOW: optional({
    allowed: WEBHOOK_ALLOW_FORM,
    description: 'what webhooks may reach in addition to public addresses',
    parse: parseAllowList,
  }),
  DELIVERY_CONCURRENCY: whole(
    { default: 256, from: 1, to: 10_000 },
    'messages of pushed destinations, such as webhooks, that a server has in flight at a time',
  ),
  HOST_CONCURRENCY: whole(
    { default: 32, from: 1, to: 10_000 },
    'of these, messages at a time to one host (of a webhook: scheme, name and port)',
  ),
  RETRY_ATTEMPTS: whole(
    { default: DEFAULT_RETRY.attempts, from: 1, to: 1_000 },
    "deliveries of a message at most, the first included. A message's own `retry` has priority over all `RETRY_*`",
  ),
  RETRY_MIN_MS: whole({ default: DEFAULT_RETRY.minMs, from: 1, to: MONTH_MS }, 'first wait after a failure'),
  RETRY_MAX_MS: whole(
    { default: DEFAULT_RETRY.maxMs, from: 1, to: MONTH_MS },
    'longest wait after a failure',
  ),
  RETRY_FACTOR: setting(Type.Number({ minimum: 1, maximum: 100 }), {
    default: DEFAULT_RETRY.factor,
    allowed: 'a number from 1 to 100',
    description: 'by how much each wait is longer than the one before',
  }),
  RETRY_JITTER: setting(wordsOf(JITTERS), {
    default: DEFAULT_RETRY.jitter,
    allowed: JITTERS.join(' or '),
    description: '`full` takes a random part of each wait, `none` all of it',
  }),
  EVENTS: setting(wordsOf(['auto', 'always']), {
    default: 'auto',
    allowed: 'auto or always',
    description:
      'when [events](../guides/events.md) are collected: `auto` while there is a listener, and for a minute after that',
  }),
  EVENTS_MAX: whole(
    { default: 10_000, from: 100, to: 10_000_000 },
    'newest events that are kept for clients that reconnect',
  ),
  DEAD_MAX: whole(
    { default: 10_000, from: 0, to: 10_000_000 },
    'dead letters that are kept, divided among the shards. The oldest of a shard are deleted first',
  ),
  DEAD_TTL_MS: whole({ default: 14 * DAY_MS, from: 0, to: 3650 * DAY_MS }, 'how long dead letters are kept'),
  TEST_CLOCK: setting(wordsOf(TEST_CLOCKS), {
    default: 'false',
    allowed: 'true, false or force',
    description:
      '`true` gives all servers a clock that tests can set: see [Testing](../guides/testing.md). Refused with ' +
      '`NODE_ENV=production`, unless it is `force`',
  }),
  READY_MAX_LATE_MS: whole(
    { default: 60_000, from: 0, to: MONTH_MS },
    'how late the oldest message may be on a server that is ready',
  ),
})
export type Config = Readonly<Static<typeof SETTINGS>>

function setting<T extends TSchema>(schema: T, facts: SettingFacts): Setting<T> {
  return { ...schema, ...facts }
}

function wordsOf<const W extends string>(words: readonly W[]) {
  return Type.Union(words.map((word) => Type.Literal(word)))
}
