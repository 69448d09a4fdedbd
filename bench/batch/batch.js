// @ts-check
import { compared, median, whole } from '../frame/figures.js'
import { load, loadComesFrom } from '../frame/load.js'
import { startMeter } from '../frame/meter.js'
import { startHelper } from '../frame/processes.js'
import { findRedisBenchmark, startRedis } from '../frame/redis.js'
import { hammer } from '../frame/redis-benchmark.js'
import { inTurn } from '../frame/rounds.js'
import { startService } from '../frame/service.js'

const BATCH = 1_000
const CONNECTIONS = 6
const DUE_IN_MS = 3_600_000
const PAYLOAD = 'x'.repeat(93) // 95 bytes as JSON
/** As many as bring the most here; fewer, or less in a pipeline, leave Redis waiting. */
const HAMMER = { clients: 6, pipeline: 500 }
const BULK_AT_ONCE = 4
/** Of the round that is not counted, until the pace is known. */
const FIRST_COUNT = 20_000
const ADD_WITHIN_MS = 120_000
const OF_REDIS = { atLeast: 0.8 }
const OF_BULLMQ = { atLeast: 8 }

/**
 * @typedef {{ perSecond: number, senderCpuUs: number, redisCpuUs: number, othersCores: number }} Pass
 *   messages a second, CPU per message; the sender is the process that speaks to Redis
 * @typedef {(seconds: number) => Promise<Pass>} MeasurePass
 * @typedef {import('../frame/redis.js').BenchRedis} BenchRedis
 */

/**
 * How many messages a second come in 1,000 a request, as JSON and as lines, beside Redis taking the same two writes per
 * message from redis-benchmark, and beside BullMQ's addBulk, which is spared HTTP. Every Redis has every write on disk
 * before it answers.
 *
 * @param {import('../main.js').Options} options
 */
export async function batch({ rounds, seconds, quiet, checkouts }) {
  const redises = []
  const rawRedis = await startRedis()
  const bullmqRedis = await startRedis()
  const bulk = startHelper(new URL('../peers/bullmq-bulk.js', import.meta.url), [String(bullmqRedis.port)])
  redises.push(rawRedis, bullmqRedis)
  const hasHammer = (await findRedisBenchmark()) !== undefined
  if (!hasHammer) console.error('batch: there is no redis-benchmark, which comes with redis-server; left out')
  const peers = [
    { name: 'BullMQ addBulk', pass: bulkPass(bulk, bullmqRedis), target: OF_BULLMQ },
    ...(hasHammer ? [{ name: 'redis-benchmark', pass: hammerPass(rawRedis), target: OF_REDIS }] : []),
  ]
  const services = []
  const ours = []
  for (const { name, path } of checkouts) {
    const redis = await startRedis()
    redises.push(redis)
    const service = await startService(path, { REDIS_URL: redis.url })
    services.push(service)
    const also = name === 'Carillon' ? '' : `, ${name}`
    for (const form of /** @type {const} */ (['JSON', 'NDJSON'])) {
      ours.push({ name: `1,000 a request, ${form}${also}`, pass: servicePass(service, redis, form) })
    }
  }

  const subjects = [...peers, ...ours]
  const results = await inTurn(
    subjects.map(({ name, pass }) => ({ name, run: () => pass(seconds) })),
    {
      ...{ rounds, quiet, title: 'batch' },
      tell: ({ perSecond, senderCpuUs, redisCpuUs }) =>
        `${whole(perSecond)}/s, CPU µs each: sender ${senderCpuUs.toFixed(1)}, Redis ${redisCpuUs.toFixed(1)}`,
    },
  )
  await bulk.stop()
  for (const service of services) await service.stop()
  for (const redis of redises) await redis.stop()

  const named = subjects.map(({ name }, i) => ({ name, passes: results[i] ?? [] }))
  const rate = (/** @type {number} */ i) => (results[i] ?? []).map(({ perSecond }) => perSecond)
  const rows = ours.flatMap(({ name: what }, i) =>
    peers.map(({ name, target }, peer) =>
      compared({
        ...{ part: 'batch', what, unit: 'messages/s', figures: rate(peers.length + i), target },
        beside: { name, figures: rate(peer) },
      }),
    ),
  )
  const raw = { connections: CONNECTIONS, load: loadComesFrom(), redis: rawRedis.version, subjects: named }
  return { raw, rows, details: [HEADINGS, ...named.map(detailsOf)] }
}

const HEADINGS = ['batch', 'messages/s', 'CPU µs each: sender', 'Redis']

/** @param {{ name: string, passes: Pass[] }} subject */
function detailsOf({ name, passes }) {
  const middle = (/** @type {keyof Pass} */ figure) => median(passes.map((each) => each[figure]))
  const cpu = [middle('senderCpuUs').toFixed(1), middle('redisCpuUs').toFixed(1)]
  return [name, whole(middle('perSecond')), ...cpu]
}

/**
 * @param {import('../frame/service.js').BenchService} service
 * @param {BenchRedis} redis
 * @param {'JSON' | 'NDJSON'} form
 * @returns {MeasurePass}
 */
function servicePass(service, redis, form) {
  const url = `${service.url}/v1/messages/batch`
  return async (seconds) => {
    await redis.empty()
    const at = Date.now() + DUE_IN_MS
    const messages = Array.from({ length: BATCH }, (_, i) => ({ at: at + i, payload: PAYLOAD }))
    const body =
      form === 'JSON'
        ? { body: JSON.stringify({ messages }), contentType: 'application/json' }
        : {
            body: messages.map((message) => `${JSON.stringify(message)}\n`).join(''),
            contentType: 'application/x-ndjson',
          }
    const meter = startMeter({ sender: service.pid, redis: redis.pid })
    const sent = await service.well(load({ url, connections: CONNECTIONS, seconds, ...body }))
    const used = meter()
    const { scheduled } = await service.counts()
    if (scheduled < sent.requests * BATCH) {
      throw new Error(`${sent.requests} batches were answered, and only ${scheduled} messages are stored`)
    }
    // Batches that were under way when the time was up are stored, too, and have cost as much.
    return figuresOf(sent.requestsPerSecond * BATCH, scheduled, used)
  }
}

/**
 * redis-benchmark sends one kind of command at a time, so one pass is two: first as many HSET, then as many ZADD.
 *
 * @type {(redis: BenchRedis) => MeasurePass}
 */
function hammerPass(redis) {
  let count = FIRST_COUNT
  return async (seconds) => {
    await redis.empty()
    const dueAt = String(Date.now() + DUE_IN_MS)
    const write = async (/** @type {string[]} */ command) => hammer(redis.port, { ...HAMMER, count }, command)
    const meter = startMeter({ redis: redis.pid })
    const records = await write(['HSET', '{carillon:0}:messages', '~__rand_int__', `${dueAt}\n"${PAYLOAD}"`])
    const times = await write(['ZADD', '{carillon:0}:scheduled_messages', dueAt, '~__rand_int__'])
    const { cpuMs, othersCores } = meter()
    const perSecond = 1 / (1 / records.perSecond + 1 / times.perSecond)
    const sender = records.cpuMs + times.cpuMs
    const figures = figuresOf(perSecond, count, { cpuMs: { ...cpuMs, sender }, othersCores })
    count = Math.ceil(perSecond * seconds)
    return figures
  }
}

/** @type {(bulk: ReturnType<typeof startHelper>, redis: BenchRedis) => MeasurePass} */
function bulkPass(bulk, redis) {
  let count = FIRST_COUNT
  return async (seconds) => {
    await redis.empty()
    const order = { count, nonBlockingFd: BULK_AT_ONCE, payload: PAYLOAD, delayMs: DUE_IN_MS }
    const meter = startMeter({ sender: bulk.pid, redis: redis.pid })
    const { ms } = /** @type {{ ms: number }} */ (await bulk.ask(order, ADD_WITHIN_MS))
    const figures = figuresOf((count * 1_000) / ms, count, meter())
    count = Math.ceil((figures.perSecond * seconds) / BATCH) * BATCH
    return figures
  }
}

/**
 * @param {number} perSecond
 * @param {number} count
 * @param {{ cpuMs: { sender: number, redis: number }, othersCores: number }} used
 * @returns {Pass}
 */
function figuresOf(perSecond, count, { cpuMs: { sender, redis }, othersCores }) {
  return {
    perSecond,
    senderCpuUs: (sender * 1_000) / count,
    redisCpuUs: (redis * 1_000) / count,
    othersCores,
  }
}
