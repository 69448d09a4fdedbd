// @ts-check
import { setTimeout as sleep } from 'node:timers/promises'
import { compared, median, whole } from '../frame/figures.js'
import { startMeter } from '../frame/meter.js'
import { startHelper, within } from '../frame/processes.js'
import { startRedis } from '../frame/redis.js'
import { inTurn } from '../frame/rounds.js'
import { startService } from '../frame/service.js'

/** @typedef {import('./receiver.js').Arrivals} Arrivals */
/** @typedef {ReturnType<typeof startHelper>} Helper */

/** One host, for which HOST_CONCURRENCY is what counts; then as many as DELIVERY_CONCURRENCY is for. */
const CASES = [
  { name: '1 host, 32 at once', hosts: 1, afterMs: 0 },
  { name: '1 host, 32 at once, answering after 10 ms', hosts: 1, afterMs: 10 },
  { name: '8 hosts, 256 at once', hosts: 8, afterMs: 0 },
]
/** HOST_CONCURRENCY unless set. */
const AT_ONCE = 32
const TO_REACH = 0.6

const PAYLOAD = { event: 'invoice.due', invoice: 4711, customer: 'c_8Jq2Lm0aXz', text: 'x'.repeat(120) }
const KEY = Buffer.alloc(32, 7).toString('base64')
const SECRET = `whsec_${KEY}`
/** Those of the service that are not new for each request, with values as long as the service's. */
const HEADERS = Object.entries({
  'content-type': 'application/json',
  'user-agent': 'Carillon/0.1.0',
  'carillon-scheduled-for': '2030-01-01T09:00:00.000Z',
  'carillon-attempt': '1',
  'carillon-claim': '123456',
  'carillon-late-ms': '1234',
}).flat()

const PASS_WITHIN_MS = 60_000
const ANSWER_TIMEOUT_MS = 5_000
const SETTLE_WITHIN_MS = 10_000
/** How long storing takes, at most, until that is known: all of it is due a moment after. */
const STORE_MS = 1_000
const STORE_MS_PER_MESSAGE = 0.3

/**
 * @typedef {object} Pass one measurement
 * @property {number} perSecond arrivals a second, from the first to the last
 * @property {number} senderCpuUs CPU of the process that sends, µs per message
 * @property {number} receiverCpuUs
 * @property {number} othersCores how many cores other programs kept busy meanwhile
 * @property {number} [redisCpuUs]
 * @property {number} [settledPerSecond] from the first arrival until nothing is left to do
 * @property {Record<string, number>} [callsPerMessage] Redis commands, from scripts too
 */

/**
 * How many webhooks a second the service delivers, measured beside the same undici client alone against the same
 * receiver.
 *
 * @param {import('../main.js').Options} options
 */
export async function webhook({ rounds, messages, quiet, checkouts }) {
  const receiver = startHelper(new URL('receiver.js', import.meta.url), ['8'])
  const undici = startHelper(new URL('undici-alone.js', import.meta.url))
  const services = []
  for (const { name, path } of checkouts) {
    const redis = await startRedis()
    const settings = { REDIS_URL: redis.url, WEBHOOK_ALLOW: '127.0.0.1', WEBHOOK_SECRETS: SECRET }
    services.push({ name, redis, service: await startService(path, settings) })
  }
  const { ports } = /** @type {{ ports: number[] }} */ (await receiver.ask({}, ANSWER_TIMEOUT_MS))
  const subjects = [
    { name: 'undici alone', pass: undiciPass(undici, receiver) },
    ...services.map(({ name, redis, service }) => ({ name, pass: servicePass(service, redis, receiver) })),
  ]

  const measured = []
  for (const { name, hosts, afterMs } of CASES) {
    const urls = ports.slice(0, hosts).map((port) => `http://127.0.0.1:${port}/hook`)
    const passes = await inTurn(
      subjects.map(({ name: subject, pass }) => ({
        name: subject,
        run: () => pass(urls, messages, afterMs),
      })),
      {
        ...{ rounds, quiet, title: `webhook, ${name}` },
        tell: ({ perSecond, othersCores }) => `${whole(perSecond)}/s, others ${othersCores.toFixed(2)} cores`,
      },
    )
    measured.push({
      case: name,
      subjects: subjects.map(({ name: subject }, i) => ({ name: subject, passes: passes[i] ?? [] })),
    })
  }

  for (const { service, redis } of services) {
    await service.stop()
    await redis.stop()
  }
  await Promise.all([undici.stop(), receiver.stop()])
  const redisVersion = services[0]?.redis.version
  return {
    raw: { rounds, messages, redisVersion, measured },
    rows: measured.flatMap(rowsOf),
    details: [HEADINGS, ...measured.flatMap(detailsOf)],
  }
}

/** @typedef {{ case: string, subjects: { name: string, passes: Pass[] }[] }} Measured */

/** @param {Measured} measured */
function rowsOf({ case: name, subjects }) {
  const rate = (/** @type {Pass[]} */ passes) => passes.map(({ perSecond }) => perSecond)
  const [alone, ...services] = subjects
  return services.map(({ name: subject, passes }) =>
    compared({
      ...{ part: 'webhook', what: subject === 'Carillon' ? name : `${name}, ${subject}`, unit: 'messages/s' },
      figures: rate(passes),
      beside: { name: 'undici alone', figures: rate(alone?.passes ?? []) },
      target: { atLeast: TO_REACH },
    }),
  )
}

const HEADINGS = [
  'webhooks',
  'sender',
  'all settled/s',
  'CPU µs each: sender',
  'receiver',
  'Redis',
  'others, cores',
]

/** @param {Measured} measured */
function detailsOf({ case: name, subjects }) {
  return subjects.map(({ name: sender, passes }) => {
    const middle = (/** @type {keyof Pass} */ figure) =>
      whole(median(passes.map((pass) => Number(pass[figure] ?? Number.NaN))))
    const others = median(passes.map(({ othersCores }) => othersCores)).toFixed(2)
    const cpu = [middle('senderCpuUs'), middle('receiverCpuUs'), middle('redisCpuUs')]
    return [name, sender, middle('settledPerSecond'), ...cpu, others]
  })
}

/**
 * @typedef {(urls: string[], count: number, afterMs: number, overMs?: number) => Promise<Pass>} MeasurePass `overMs`:
 *   they fall due one after the other within this time; all at once unless given
 * @type {(undici: Helper, receiver: Helper) => MeasurePass}
 */
function undiciPass(undici, receiver) {
  return async (urls, count, afterMs) => {
    await receiver.ask({ expect: count, afterMs }, ANSWER_TIMEOUT_MS)
    const meter = startMeter({ sender: undici.pid, receiver: receiver.pid, redis: 0 })
    const order = {
      urls,
      count,
      nonBlockingFd: AT_ONCE,
      body: JSON.stringify(PAYLOAD),
      headers: HEADERS,
      secret: KEY,
    }
    const { failed } = /** @type {{ failed: number }} */ (await undici.ask(order, PASS_WITHIN_MS))
    const used = meter()
    const arrivals = await allArrivals(receiver, count)
    if (failed > 0) throw new Error(`${failed} requests of undici alone failed`)
    return figuresOf(arrivals, used)
  }
}

/**
 * @type {(
 *   service: import('../frame/service.js').BenchService,
 *   redis: import('../frame/redis.js').BenchRedis,
 *   receiver: Helper,
 * ) => MeasurePass}
 */
export function servicePass(service, redis, receiver) {
  let storeMsPerMessage = STORE_MS_PER_MESSAGE
  return async (urls, count, afterMs, overMs = 0) => {
    await receiver.ask({ expect: count, afterMs }, ANSWER_TIMEOUT_MS)
    const beganAt = Date.now()
    const at = beganAt + STORE_MS + Math.ceil(count * storeMsPerMessage)
    await service.schedule(
      Array.from({ length: count }, (_, i) => ({
        ...{ at: at + Math.floor((i * overMs) / count), payload: PAYLOAD },
        destination: { type: 'webhook', url: urls[i % urls.length] },
      })),
    )
    if (Date.now() > at - 200) throw new Error('the messages were due before all of them were stored')
    storeMsPerMessage = Math.min(STORE_MS_PER_MESSAGE, (2 * (Date.now() - beganAt)) / count)
    const callsBefore = await redis.calls()
    await sleep(at - Date.now() - 20)
    const meter = startMeter({ sender: service.pid, receiver: receiver.pid, redis: redis.pid })
    await service.well(receiver.ask({ wait: true }, PASS_WITHIN_MS))
    const used = meter()
    const settledAfterMs = await settled(service)
    const arrivals = await allArrivals(receiver, count)
    const settledPerSecond = (count * 1_000) / (arrivals.lastAt - arrivals.firstAt + settledAfterMs)
    const callsPerMessage = perMessage(callsBefore, await redis.calls(), count)
    return { ...figuresOf(arrivals, used), settledPerSecond, callsPerMessage }
  }
}

/** @param {import('../frame/service.js').BenchService} service */
async function settled(service) {
  const beganAt = performance.now()
  const nothingLeft = async () => {
    for (;;) {
      const { scheduled, claimed, dead } = await service.counts()
      if (dead > 0) throw new Error(`${dead} messages could not be delivered`)
      if (scheduled + claimed === 0) return performance.now() - beganAt
      await sleep(5)
    }
  }
  return within(SETTLE_WITHIN_MS, 'the last messages to be settled', nothingLeft())
}

/**
 * @param {Helper} receiver
 * @param {number} count
 * @returns {Promise<Arrivals>} what has come by now, each once
 */
async function allArrivals(receiver, count) {
  const arrivals = /** @type {Arrivals} */ (await receiver.ask({ look: true }, ANSWER_TIMEOUT_MS))
  if (arrivals.count !== count || arrivals.distinct !== count) {
    throw new Error(
      `${count} messages arrived as ${arrivals.count} requests, ${arrivals.distinct} different ones`,
    )
  }
  return arrivals
}

/**
 * @param {Arrivals} arrivals
 * @param {import('../frame/meter.js').Used<'sender' | 'receiver' | 'redis'>} used `redis` is NaN where there is none
 * @returns {Pass}
 */
function figuresOf({ count, firstAt, lastAt }, { cpuMs: { sender, receiver, redis }, othersCores }) {
  const each = (/** @type {number} */ ms) => (ms * 1_000) / count
  return {
    perSecond: ((count - 1) * 1_000) / (lastAt - firstAt),
    ...{ senderCpuUs: each(sender), receiverCpuUs: each(receiver), othersCores },
    ...(Number.isNaN(redis) ? {} : { redisCpuUs: each(redis) }),
  }
}

/**
 * @param {Map<string, number>} before
 * @param {Map<string, number>} after
 * @param {number} count
 */
function perMessage(before, after, count) {
  const grown = [...after].map(([name, calls]) => [name, (calls - (before.get(name) ?? 0)) / count])
  return Object.fromEntries(grown.filter(([, calls]) => Number(calls) > 0))
}
