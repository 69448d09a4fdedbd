import { execFileSync } from 'node:child_process'
import { findRedisServer } from '../../src/dev/redis-server.js'
import { readVersion } from '../../src/dev/redis-version.js'

/** The Redis of the tests: servers of one release, or a cluster or sentinels of the server that is found. */
export type RedisKind =
  | 'any'
  | 'cluster'
  | 'sentinel'
  | { readonly label: 'Redis' | 'Valkey'; readonly major: number }

const NAME = 'CARILLON_TEST_REDIS'

/**
 * Reads CARILLON_TEST_REDIS.
 * @throws TypeError for an unknown kind: a run with the default would look like the wanted one
 */
export function readRedisKind(text = ''): RedisKind {
  if (text === '') return 'any'
  if (text === 'cluster' || text === 'sentinel') return text
  const [, product, major] = /^(redis|valkey):([1-9]\d*)$/.exec(text) ?? []
  if (product === undefined)
    throw new TypeError(
      `${NAME} is "${text}"; allowed: redis:7, redis:8, valkey:8 and the like, cluster, sentinel`,
    )
  return { label: product === 'redis' ? 'Redis' : 'Valkey', major: Number(major) }
}

/**
 * The redis-server for tests that kill it.
 * @throws Error when the server that is found is of another release than the wanted one
 */
export async function findServerOf(kind: RedisKind): Promise<string> {
  const path = await findRedisServer({ cacheDir: '.cache', log: console.log })
  if (typeof kind === 'string') return path
  const found = readVersion(execFileSync(path, ['--version'], { encoding: 'utf8' }))
  if (found?.label !== kind.label || Number.parseInt(found.version, 10) !== kind.major) {
    const wanted = `${kind.label} ${kind.major}`
    const there = `${path} is ${found?.label} ${found?.version}`
    throw new Error(`${NAME} asks for ${wanted}, but ${there}: put a server of ${wanted} on PATH`)
  }
  return path
}
