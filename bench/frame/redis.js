// @ts-check
import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { findRedisServer } from '../../src/setup/redis-server.js'
import { alive, end, pidOf, start, within } from './processes.js'

const CACHE = fileURLToPath(new URL('../../.cache', import.meta.url))
const START_WITHIN_MS = 10_000

/** A fresh, empty redis-server that has every write on disk before it answers. */
export async function startRedis() {
  const binary = await findRedisServer({ cacheDir: CACHE, log: (line) => console.error(line) })
  const dir = await mkdtemp(join(tmpdir(), 'carillon-bench-'))
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }))
  const port = await freePort()
  const durable = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', '']
  const child = start(binary, ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, ...durable], {
    silent: true,
  })
  const client = new Redis({ port, protocol: 2, retryStrategy: () => 20, maxRetriesPerRequest: null })
  client.on('error', () => undefined)
  await within(START_WITHIN_MS, 'redis-server', alive(child, client.ping()))
  const [, version = '?'] = /redis_version:(\S+)/.exec(await client.info('server')) ?? []
  return {
    url: `redis://127.0.0.1:${port}`,
    pid: pidOf(child),
    version,
    /** How often each command has been called so far, from scripts too. */
    async calls() {
      const all = (await client.info('commandstats')).matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)
      return new Map([...all].map(([, name = '', calls]) => [name, Number(calls)]))
    },
    async stop() {
      client.disconnect()
      await end(child, 'SIGKILL')
    },
  }
}

/** @typedef {Awaited<ReturnType<typeof startRedis>>} BenchRedis */

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? 0) : 0))
    })
  })
}
