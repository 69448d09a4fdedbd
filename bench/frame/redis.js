// @ts-check
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { findRedisServer } from '../../src/dev/redis-server.js'
import { alive, end, pidOf, start, temporaryFolder, within } from './processes.js'

const run = promisify(execFile)
const CACHE = fileURLToPath(new URL('../../.cache', import.meta.url))
const START_WITHIN_MS = 10_000
const SLOTS = 16_384

/** In one step, or a server would see its data gone. On a cluster the keys are on one master. */
const EMPTY = `
  local kept = {}
  for _, key in ipairs({ "carillon:shards", "{carillon:shards}:data_id" }) do
    local value = redis.pcall("GET", key)
    if type(value) == "string" then kept[key] = value end
  end
  redis.call("FLUSHALL", "SYNC")
  for key, value in pairs(kept) do redis.call("SET", key, value) end`

const findServer = () => findRedisServer({ cacheDir: CACHE, log: (line) => console.error(line) })

/**
 * @typedef {'always' | 'everysec' | 'off'} Fsync `always`: every write is on disk before it is answered; `off`: there
 *   is no append-only file
 * @typedef {{ calls: number, usec: number }} CommandStats
 */

/**
 * Starts a fresh, empty Redis, which has every write on disk before it answers unless told otherwise.
 *
 * @param {{ appendfsync?: Fsync, masters?: number }} [options] of more than one master, they are a cluster
 */
export async function startRedis({ appendfsync = 'always', masters = 1 } = {}) {
  const nodes = await Promise.all(Array.from({ length: masters }, () => startNode(appendfsync, masters > 1)))
  if (masters > 1) await joinCluster(nodes)
  const [first] = nodes
  if (first === undefined) throw new Error('a Redis without a master')
  const [, version = '?'] = /redis_version:(\S+)/.exec(await first.client.info('server')) ?? []
  const all = (/** @type {(client: Redis) => Promise<number>} */ ask) =>
    sum(nodes.map(({ client }) => ask(client)))
  return {
    /** as REDIS_URL takes it */
    url: nodes.map(({ port }) => `redis://127.0.0.1:${port}`).join(','),
    /** of the first master, and so the only one but for a cluster */
    port: first.port,
    ports: nodes.map(({ port }) => port),
    pid: first.pid,
    pids: nodes.map(({ pid }) => pid),
    /** one of the bench's own for each master */
    clients: nodes.map(({ client }) => client),
    version,
    /** What each command has taken so far, from scripts too, over all masters. */
    async commandStats() {
      /** @type {Map<string, CommandStats>} */
      const stats = new Map()
      for (const { client } of nodes) {
        const text = await client.info('commandstats')
        for (const [, name = '', calls, usec] of text.matchAll(/^cmdstat_([^:]+):calls=(\d+),usec=(\d+)/gm)) {
          const before = stats.get(name) ?? { calls: 0, usec: 0 }
          stats.set(name, { calls: before.calls + Number(calls), usec: before.usec + Number(usec) })
        }
      }
      return stats
    },
    /** How often each command has been called so far, from scripts too. */
    async calls() {
      return new Map([...(await this.commandStats())].map(([name, { calls }]) => [name, calls]))
    },
    /** Bytes that Redis has allocated, over all masters. */
    usedMemory: () =>
      all(async (client) => Number(/used_memory:(\d+)/.exec(await client.info('memory'))?.[1])),
    /** How many keys there are, over all masters. */
    size: () => all((client) => client.dbsize()),
    /** All but what a running service knows its data by. */
    empty: () => Promise.all(nodes.map(({ client }) => client.eval(EMPTY, 0))),
    /** Has every command noted from now on that takes at least so long. @param {number} us */
    async watchSlow(us) {
      for (const { client } of nodes) {
        await client.config('SET', 'slowlog-log-slower-than', us)
        await client.config('SET', 'slowlog-max-len', 1_000)
        await client.slowlog('RESET')
      }
    },
    /** What has been noted since watchSlow, the slowest first. */
    async slow() {
      const entries = []
      for (const { client } of nodes) {
        entries.push(.../** @type {[number, number, number, string[]][]} */ (await client.slowlog('GET', -1)))
      }
      return entries
        .map(([, , us, args]) => ({ us: Number(us), command: String(args).slice(0, 60) }))
        .sort((a, b) => b.us - a.us)
    },
    async stop() {
      for (const { client, child } of nodes) {
        client.disconnect()
        await end(child, 'SIGKILL')
      }
    },
  }
}

/** @typedef {Awaited<ReturnType<typeof startRedis>>} BenchRedis */

/**
 * @typedef {{ client: Redis, child: import('node:child_process').ChildProcess, pid: number, port: number }} Node
 * @type {(appendfsync: Fsync, isCluster: boolean) => Promise<Node>}
 */
async function startNode(appendfsync, isCluster) {
  const port = await freePort()
  const child = start(
    await findServer(),
    [
      ...['--port', String(port), '--bind', '127.0.0.1', '--dir', await temporaryFolder(), '--save', ''],
      ...(appendfsync === 'off' ? [] : ['--appendonly', 'yes', '--appendfsync', appendfsync]),
      // A rewrite in the midst of one pass would be held against that one.
      ...['--auto-aof-rewrite-percentage', '0'],
      // The bus would be at a port that is too high or taken.
      ...(isCluster ? ['--cluster-enabled', 'yes', '--cluster-port', String(await freePort())] : []),
    ],
    { silent: true },
  )
  const client = new Redis({ port, protocol: 2, retryStrategy: () => 20, maxRetriesPerRequest: null })
  client.on('error', () => undefined)
  await within(START_WITHIN_MS, 'redis-server', alive(child, client.ping()))
  return { client, child, pid: pidOf(child), port }
}

/** Makes a cluster of them, each with an equal part of the slots. @param {Node[]} nodes */
async function joinCluster(nodes) {
  const [first, ...others] = nodes
  for (const [i, { client }] of nodes.entries()) {
    const from = Math.round((i * SLOTS) / nodes.length)
    const to = Math.round(((i + 1) * SLOTS) / nodes.length) - 1
    await client.cluster('SET-CONFIG-EPOCH', i + 1)
    await client.cluster('ADDSLOTSRANGE', from, to)
  }
  const busOf = async (/** @type {Redis} */ client) =>
    Number((await client.config('GET', 'cluster-port')).at(1))
  for (const { client, port } of others) {
    await first?.client.cluster('MEET', '127.0.0.1', port, await busOf(client))
  }
  const isJoined = async (/** @type {Redis} */ client) => {
    const info = await client.cluster('INFO')
    return info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${nodes.length}`)
  }
  const joined = async () => {
    while (!(await Promise.all(nodes.map(({ client }) => isJoined(client)))).every(Boolean)) {
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  await within(START_WITHIN_MS, 'the cluster', joined())
}

/**
 * @returns {Promise<string | undefined>} the redis-benchmark of the redis-server in use, else the one on PATH;
 *   undefined where there is neither
 */
export async function findRedisBenchmark() {
  const server = await findServer()
  const name = basename(server).replace('-server', '-benchmark')
  const beside = join(dirname(server), name)
  // A server fetched for this checkout is a script that finds its libraries, for a binary that came with others.
  if (!existsSync(beside) && existsSync(join(dirname(server), 'usr', 'bin', name))) {
    const script = (await readFile(server, 'utf8')).replaceAll(`/${basename(server)}"`, `/${name}"`)
    await writeFile(beside, script, { mode: 0o755 })
  }
  for (const file of [beside, name, 'redis-benchmark', 'valkey-benchmark']) {
    if (await run(file, ['--version'], { timeout: 10_000 }).catch(() => undefined)) return file
  }
  return undefined
}

/** @type {(numbers: Promise<number>[]) => Promise<number>} */
async function sum(numbers) {
  let total = 0
  for (const each of await Promise.all(numbers)) total += each
  return total
}

/** @returns {Promise<number>} */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' ? (address?.port ?? 0) : 0
}
