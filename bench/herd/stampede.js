// @ts-check
import { setTimeout as sleep } from 'node:timers/promises'
import { PAYLOAD, untilNone } from '../drain/backlog.js'
import { createConsoleFile } from '../frame/console-file.js'
import { createLead, fill } from '../frame/fill.js'
import { startMeter } from '../frame/meter.js'
import { startHelper } from '../frame/processes.js'
import { startRedis } from '../frame/redis.js'
import { startService } from '../frame/service.js'
import { clientOf, dueIn } from '../frame/subject.js'

const SLOW_US = 10_000
/** From here on calls are noted, so that the slowest is known even if none is slow. */
const NOTED_US = 2_000
const MOST_NOTED = 100_000
const PASS_WITHIN_MS = 120_000
const ANSWER_TIMEOUT_MS = 20_000

/**
 * @typedef {object} Pass
 * @property {number} perSecond messages a second, of all servers, from when they were due until none was left
 * @property {number[]} shares what each server delivered, in parts of a fair share
 * @property {number} duplicates
 * @property {number} slowCalls calls of Redis that took over 10 ms
 * @property {number} slowestMs the slowest one; 0 when none took 2 ms
 * @property {import('./prober.js').Probed} probed
 * @property {number} serversCpuUs CPU of all servers, µs per message
 * @property {number} redisCpuUs
 * @property {number} othersCores how many cores other programs kept busy meanwhile
 */

/**
 * Some servers with one Redis, each with its console in a file, and others who use them.
 *
 * @param {string} checkout
 * @param {number} count of servers
 */
export async function startServers(checkout, count) {
  const redis = await startRedis()
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const console = await createConsoleFile()
      const settings = { REDIS_URL: redis.url }
      return { console, service: await startService(checkout, settings, { stdoutTo: console.path }) }
    }),
  )
  const urls = servers.map(({ service }) => service.url)
  const prober = startHelper(new URL('prober.js', import.meta.url), [String(redis.port), ...urls])
  return {
    ...{ redis, client: clientOf(redis), servers, urls, prober, lead: createLead() },
    async stop() {
      await prober.stop()
      for (const { service } of servers) await service.stop()
      await redis.stop()
    },
  }
}

/**
 * Lets all of them deliver messages that are due in the same millisecond.
 *
 * @param {Awaited<ReturnType<typeof startServers>>} all
 * @param {number} wanted so many at least
 * @returns {Promise<Pass>}
 */
export async function stampede({ redis, client, servers, urls, prober, lead }, wanted) {
  // They are to be stored soon; how safely is looked at from when they are due.
  await client.config('SET', 'appendfsync', 'everysec')
  const at = await lead(
    wanted,
    (at) => fill(urls, [{ at, payload: PAYLOAD }], wanted),
    async (at) => {
      await untilNone(() => dueIn(client, at), PASS_WITHIN_MS)
      for (const { console } of servers) await console.take()
    },
  )
  const count = await dueIn(client, at)
  await client.config('SET', 'appendfsync', 'always')
  await redis.watchSlow(NOTED_US)
  await client.config('SET', 'slowlog-max-len', MOST_NOTED)
  const names = servers.map((_, i) => `server ${i}`)
  /** @type {Record<string, number>} */
  const pids = { redis: redis.pid, prober: prober.pid }
  for (const [i, { service }] of servers.entries()) pids[`server ${i}`] = service.pid
  await sleep(at - Date.now() - 20)
  const meter = startMeter(pids)
  await prober.ask({ begin: true }, ANSWER_TIMEOUT_MS)
  await sleep(at - Date.now())
  let left = untilNone(() => dueIn(client, at), PASS_WITHIN_MS)
  for (const { service } of servers) left = service.well(left)
  const endedAt = await left
  const { cpuMs, othersCores } = meter()
  const probed = /** @type {import('./prober.js').Probed} */ (
    await prober.ask({ end: true }, ANSWER_TIMEOUT_MS)
  )
  const slow = await redis.slow()

  /** @type {Set<string>} */
  const ids = new Set()
  const lines = []
  for (const { console } of servers) lines.push((await console.take(ids)).lines)
  const all = lines.reduce((sum, each) => sum + each, 0)
  if (ids.size !== count) throw new Error(`of ${count} messages ${ids.size} were delivered`)
  const serversMs = names.reduce((sum, name) => sum + (cpuMs[name] ?? Number.NaN), 0)
  return {
    perSecond: (count * 1_000) / (endedAt - at),
    shares: lines.map((each) => (each * servers.length) / count),
    duplicates: all - ids.size,
    slowCalls: slow.filter(({ us }) => us > SLOW_US).length,
    slowestMs: (slow[0]?.us ?? 0) / 1_000,
    probed,
    serversCpuUs: (serversMs * 1_000) / count,
    redisCpuUs: ((cpuMs.redis ?? Number.NaN) * 1_000) / count,
    othersCores,
  }
}
