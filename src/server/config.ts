import { isIPv4 } from 'node:net'
import { Value } from '@sinclair/typebox/value'
import { readCaFile } from '../store/ca-file.ts'
import { parseRedisTarget, parseRedisUrl, type RedisTarget } from '../store/redis-url.ts'
import { type Config, SETTINGS, type SettingFacts } from './settings.ts'

export type { Config } from './settings.ts'

/** Says what is wrong with every bad setting, in one line. */
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
  for (const [name, setting] of Object.entries(SETTINGS.properties)) {
    const text = env[name] ?? ''
    const value = text === '' ? defaultOf(setting, env.REDIS_URL) : fromText(setting.type, text)
    if (value === undefined) continue
    given[name] = value
    if (text === '') continue
    const why = setting.parse === undefined ? undefined : problemOf(setting.parse, text)
    if (why !== undefined || !Value.Check(setting, value)) {
      const shown = setting.secret === true ? 'cannot be used' : `is ${JSON.stringify(withoutPassword(text))}`
      problems.push(`${name} ${shown}${why === undefined ? '' : ` (${why})`}; allowed: ${setting.allowed}`)
    }
  }
  const { RETRY_MIN_MS, RETRY_MAX_MS } = given
  if (Number(RETRY_MIN_MS) > Number(RETRY_MAX_MS)) {
    problems.push(`RETRY_MIN_MS is ${RETRY_MIN_MS}, which is more than RETRY_MAX_MS, ${RETRY_MAX_MS}`)
  }
  if (given.TEST_CLOCK === 'true' && env.NODE_ENV === 'production') {
    problems.push('TEST_CLOCK is true, but NODE_ENV is production; allowed there: false or force')
  }
  if (problems.length > 0) throw new ConfigError(problems.join('; '))
  const config = Value.Parse(SETTINGS, given)
  if (!isLoopback(config.HOST) && config.API_KEYS === undefined && !config.ALLOW_OPEN) {
    const host = JSON.stringify(config.HOST)
    throw new ConfigError(
      `HOST is ${host}, a public address, but API_KEYS is not set; set API_KEYS, or ALLOW_OPEN=true to ` +
        'disable authentication',
    )
  }
  return Object.freeze(config)
}

/** The Redis that the settings name. @throws TypeError for a bad `REDIS_URL`, such as an empty one */
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

/** For a log: without the credentials of a URL. */
export const withoutPassword = (text: string): string => text.replace(/\/\/.*@/, '//***@')

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

/** @returns what is wrong, in the parser's words, which leave out what is secret */
function problemOf(parse: (text: string) => unknown, text: string): string | undefined {
  try {
    parse(text)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function defaultOf(setting: SettingFacts, redisUrl: string | undefined): unknown {
  return isCluster(redisUrl) ? (setting.clusterDefault ?? setting.default) : setting.default
}

function isCluster(redisUrl: string | undefined): boolean {
  if (!redisUrl || problemOf(parseRedisUrl, redisUrl) !== undefined) return false
  return parseRedisUrl(redisUrl).kind === 'cluster'
}
