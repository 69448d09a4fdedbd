// @ts-check
import { compared, median, whole } from '../frame/figures.js'
import { load, loadComesFrom } from '../frame/load.js'
import { startMeter } from '../frame/meter.js'
import { startRedis } from '../frame/redis.js'
import { inTurn } from '../frame/rounds.js'
import { startPeer, startService } from '../frame/service.js'

const CONNECTIONS = 256
const DUE_IN_MS = 3_600_000
const OF_BARE = { atLeast: 0.85 }
const OF_BULLMQ = { atLeast: 2 }

/**
 * @typedef {{ serverCpuUs: number, redisCpuUs: number, loadCpuUs: number, othersCores: number }} Cpu per message
 * @typedef {import('../frame/load.js').Load & Cpu} Pass
 */

/**
 * How many messages a second come in by one request each, beside the same routes with nothing and with BullMQ behind
 * them. Both Redis have every write on disk before they answer.
 *
 * @param {import('../main.js').Options} options
 */
export async function http({ rounds, seconds, quiet, checkouts }) {
  const bullmqRedis = await startRedis()
  const bullmq = await startPeer('bullmq-app.js', { REDIS_PORT: String(bullmqRedis.port) })
  const bare = await startPeer('bare-app.js', {})
  const subjects = [
    { name: 'the app storing nothing', server: bare, redis: undefined },
    { name: 'BullMQ add', server: bullmq, redis: bullmqRedis },
  ]
  for (const { name, path } of checkouts) {
    const redis = await startRedis()
    subjects.push({ name, server: await startService(path, { REDIS_URL: redis.url }), redis })
  }

  const results = await inTurn(
    subjects.map(({ name, server, redis }) => ({ name, run: () => pass(server, redis, seconds) })),
    {
      ...{ rounds, quiet, title: 'http' },
      tell: ({ requestsPerSecond, serverCpuUs, redisCpuUs }) =>
        `${whole(requestsPerSecond)}/s, CPU µs each: server ${serverCpuUs.toFixed(1)}, Redis ${redisCpuUs.toFixed(1)}`,
    },
  )
  for (const { server, redis } of subjects) {
    await server.stop()
    await redis?.stop()
  }

  const named = subjects.map(({ name }, i) => ({ name, passes: results[i] ?? [] }))
  const [ofBare, ofBullmq, ...ours] = named
  const rows = ours.flatMap(({ name, passes }) => [
    row(name, passes, ofBare, OF_BARE),
    row(name, passes, ofBullmq, OF_BULLMQ),
  ])
  const raw = { connections: CONNECTIONS, load: loadComesFrom(), redis: bullmqRedis.version, subjects: named }
  return { raw, rows, details: [HEADINGS, ...named.map(detailsOf)] }
}

/**
 * @param {import('../frame/service.js').BenchServer} server
 * @param {import('../frame/redis.js').BenchRedis | undefined} redis
 * @param {number} seconds
 * @returns {Promise<Pass>}
 */
async function pass(server, redis, seconds) {
  await redis?.empty()
  const body = JSON.stringify({
    time: Date.now() + DUE_IN_MS,
    message: 'a message of a usual length, for later',
  })
  const meter = startMeter({ server: server.pid, redis: redis?.pid ?? 0 })
  const figures = await server.well(
    load({ url: `${server.url}/echoAtTime`, connections: CONNECTIONS, seconds, body }),
  )
  const { cpuMs, othersCores } = meter()
  const each = (/** @type {number} */ ms) => (ms * 1_000) / figures.requests
  return {
    ...figures,
    serverCpuUs: each(cpuMs.server),
    redisCpuUs: each(cpuMs.redis),
    loadCpuUs: each(figures.cpuMs),
    othersCores,
  }
}

/**
 * @param {string} name
 * @param {Pass[]} passes
 * @param {{ name: string, passes: Pass[] } | undefined} beside
 * @param {import('../frame/figures.js').Target} target
 */
function row(name, passes, beside, target) {
  const rate = (/** @type {Pass[]} */ all) => all.map(({ requestsPerSecond }) => requestsPerSecond)
  return compared({
    ...{ part: 'http', what: name === 'Carillon' ? 'POST /echoAtTime' : `POST /echoAtTime, ${name}` },
    ...{ unit: 'requests/s', figures: rate(passes), target },
    beside: { name: beside?.name ?? '', figures: rate(beside?.passes ?? []) },
  })
}

const HEADINGS = [
  ...['http', '256 connections', 'requests/s', 'p50 ms', 'p99 ms', 'CPU µs each: server', 'Redis', 'load'],
]

/** @param {{ name: string, passes: Pass[] }} subject */
function detailsOf({ name, passes }) {
  const middle = (/** @type {keyof Pass} */ figure) => median(passes.map((each) => each[figure]))
  const cpu = [middle('serverCpuUs'), middle('redisCpuUs'), middle('loadCpuUs')].map((us) =>
    Number.isNaN(us) ? '' : us.toFixed(1),
  )
  return [
    'POST /echoAtTime',
    name,
    whole(middle('requestsPerSecond')),
    middle('p50Ms').toFixed(1),
    middle('p99Ms').toFixed(1),
    ...cpu,
  ]
}
