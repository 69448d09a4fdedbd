// @ts-check
import { setTimeout as sleep } from 'node:timers/promises'
import { alone, compared } from '../frame/figures.js'
import { startRedis } from '../frame/redis.js'
import { startService } from '../frame/service.js'
import { countCommands } from './monitor.js'

/** The same load for each; of more than one master there are 16 shards. */
const CASES = [
  { servers: 1, masters: 1 },
  { servers: 2, masters: 1 },
  { servers: 4, masters: 1 },
  { servers: 1, masters: 3 },
  { servers: 4, masters: 3 },
]
const IDLE_MS = 20_000
/** What servers ask when they start is done. */
const STARTED_MS = 3_000

const PER_SECOND = 1_000
const SINGLE_MS = 4_000
const SEND_EVERY_MS = 10
const BATCHES = 10
const BATCH = 1_000
const DUE_IN_MS = 2_500
const SPREAD_MS = 1_000
/** After the last is due, all are delivered and acknowledged. */
const DONE_MS = 2_500

const IDLE = { atMost: 5 }
const FLAT = { atMost: 1.25 }

/**
 * @typedef {import('./monitor.js').Commands} Commands
 * @typedef {object} Counted
 * @property {string} name
 * @property {number} idleSent commands a second and server
 * @property {number} idleAll
 * @property {{ sent: number, all: number, byName: Record<string, number> }} singly commands a message
 * @property {{ sent: number, all: number, byName: Record<string, number> }} inBatches
 */

/**
 * What servers ask of Redis for a message, from its request to its acknowledgement, and while there is nothing to do.
 * That does not depend on how busy the machine is, and says what becomes of Redis with many servers and of many masters.
 *
 * @param {import('../main.js').Options} options
 */
export async function servers({ checkouts: [checkout] }) {
  const path = checkout?.path ?? ''
  const fleets = []
  for (const { servers, masters } of CASES) {
    const redis = await startRedis({ masters, appendfsync: 'everysec' })
    const settings = { REDIS_URL: redis.url }
    const services = []
    for (let i = 0; i < servers; i += 1) services.push(await startService(path, settings))
    const name = `${plural(servers, 'server')}, ${plural(masters, 'master')}`
    fleets.push({ name, redis, services })
  }

  await sleep(STARTED_MS)
  // All at once, as nothing of it takes any time of the machine's.
  const idle = await Promise.all(fleets.map(({ redis }) => counted(redis, () => sleep(IDLE_MS))))
  /** @type {Counted[]} */
  const results = []
  for (const [i, { name, redis, services }] of fleets.entries()) {
    const { sent = 0, all = 0 } = idle[i] ?? {}
    const perSecond = (/** @type {number} */ count) => (count * 1_000) / IDLE_MS / services.length
    const singly = await perMessage(redis, services, sendSingly)
    const inBatches = await perMessage(redis, services, sendInBatches)
    results.push({ name, idleSent: perSecond(sent), idleAll: perSecond(all), singly, inBatches })
    console.error(
      `servers, ${name}: sent singly ${singly.sent.toFixed(3)}, in batches ${inBatches.sent.toFixed(4)} a message`,
    )
  }
  for (const { redis, services } of fleets) {
    await Promise.all(services.map((service) => service.stop()))
    await redis.stop()
  }
  return { raw: { cases: results, idle }, rows: rowsOf(results), details: detailsOf(results) }
}

/** @typedef {import('../frame/service.js').BenchService} BenchService */

/** @type {(count: number, noun: string) => string} */
const plural = (count, noun) => `${count} ${noun}${count === 1 ? '' : 's'}`

/** @type {(redis: import('../frame/redis.js').BenchRedis, during: () => Promise<unknown>) => Promise<Commands>} */
async function counted({ ports }, during) {
  const stop = await countCommands(ports)
  await during()
  return stop()
}

/** @type {(redis: import('../frame/redis.js').BenchRedis, services: BenchService[], send: (services: BenchService[]) => Promise<{ count: number, lastDueAt: number }>) => Promise<Counted['singly']>} */
async function perMessage(redis, services, send) {
  let count = 0
  const { sent, all, byName } = await counted(redis, async () => {
    const load = await send(services)
    count = load.count
    await sleep(load.lastDueAt + DONE_MS - Date.now())
  })
  const left = await services[0]?.counts()
  if (left === undefined || left.scheduled + left.claimed + left.dead > 0) {
    throw new Error(`messages are left that should be delivered: ${JSON.stringify(left)}`)
  }
  const each = Object.entries(byName).map(([name, calls]) => [name, calls / count])
  return { sent: sent / count, all: all / count, byName: Object.fromEntries(each) }
}

/** By a request for each, at an even pace that every machine can keep, to the servers in turn. @param {BenchService[]} services */
async function sendSingly(services) {
  const count = (PER_SECOND * SINGLE_MS) / 1_000
  const beganAt = Date.now()
  const answers = []
  let lastDueAt = 0
  for (let i = 0; i < count; ) {
    const upTo = Math.min(count, ((Date.now() - beganAt) * PER_SECOND) / 1_000)
    for (; i < upTo; i += 1) {
      lastDueAt = Date.now() + DUE_IN_MS
      answers.push(post(services[i % services.length], lastDueAt))
    }
    await sleep(SEND_EVERY_MS)
  }
  await Promise.all(answers)
  return { count, lastDueAt }
}

/** @type {(service: BenchService | undefined, time: number) => Promise<void>} */
async function post(service, time) {
  const response = await fetch(`${service?.url}/echoAtTime`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ time, message: 'a message of a usual length' }),
  })
  if (response.status !== 200) throw new Error(`a message was answered ${response.status}`)
  await response.arrayBuffer()
}

/** By 1,000 a request, to the servers in turn; all due within a second. @param {BenchService[]} services */
async function sendInBatches(services) {
  const from = Date.now() + DUE_IN_MS
  const messages = () =>
    Array.from({ length: BATCH }, (_, i) => ({ at: from + (i * SPREAD_MS) / BATCH, payload: 'a message' }))
  await Promise.all(
    Array.from({ length: BATCHES }, (_, i) => services[i % services.length]?.schedule(messages())),
  )
  return { count: BATCHES * BATCH, lastDueAt: from + SPREAD_MS }
}

/** @param {Counted[]} results */
function rowsOf([first, ...others]) {
  if (first === undefined) return []
  const loads = /** @type {const} */ ([
    ['singly', 'singly'],
    ['inBatches', 'by 1,000'],
  ])
  const perMessage = others.flatMap((result) =>
    loads.flatMap(([load, how]) =>
      /** @type {const} */ (['sent', 'all']).map((which) =>
        compared({
          ...{
            part: 'servers',
            what: `${result.name}, ${how}, ${which === 'sent' ? 'sent' : 'with scripts'}`,
          },
          ...{ unit: 'commands a message', figures: [result[load][which]], target: FLAT },
          beside: { name: first.name, figures: [first[load][which]] },
        }),
      ),
    ),
  )
  const idle = [first, ...others].map(({ name, idleSent }) =>
    alone({
      ...{ part: 'servers', what: `${name}, idle, sent`, unit: 'commands/s a server' },
      ...{ figures: [idleSent], target: IDLE },
    }),
  )
  return [...perMessage, ...idle]
}

/** @param {Counted[]} results */
function detailsOf(results) {
  const headings = [
    ...['servers', 'Redis', 'singly: sent', 'with scripts', 'by 1,000: sent', 'with scripts'],
    ...['idle/s each: sent', 'with scripts'],
  ]
  const lines = results.map(({ name, singly, inBatches, idleSent, idleAll }) => [
    ...name.split(', '),
    ...[singly.sent, singly.all, inBatches.sent, inBatches.all].map((figure) => figure.toFixed(3)),
    ...[idleSent, idleAll].map((figure) => figure.toFixed(2)),
  ])
  return [headings, ...lines]
}
