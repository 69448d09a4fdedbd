// @ts-check
import { setTimeout as sleep } from 'node:timers/promises'
import { alone, compared } from '../frame/figures.js'
import { within } from '../frame/processes.js'
import { startRedis } from '../frame/redis.js'
import { startService } from '../frame/service.js'
import { countCommands, scriptNames } from './monitor.js'

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

/** So far apart that each is stored, falls due and is delivered on its own, also where the machine is busy. */
const SINGLE_EVERY_MS = 15
const SINGLES = 400
const BATCHES = 20
const BATCH = 1_000
const DUE_IN_MS = 2_000
const BATCHES_DUE_IN_MS = 5_000
const DONE_WITHIN_MS = 30_000
const LOOK_EVERY_MS = 100

const IDLE = { atMost: 5 }
const FLAT = { atMost: 1.25 }

/**
 * @typedef {import('./monitor.js').Commands} Commands
 * @typedef {object} Counted
 * @property {string} name
 * @property {number} servers
 * @property {number} masters
 * @property {number} idleSent commands a second and server
 * @property {number} idleAll
 * @property {{ sent: number, all: number, byName: Record<string, number> }} singly commands a message
 * @property {{ sent: number, all: number, byName: Record<string, number> }} inBatches
 */

/**
 * What servers ask of Redis for a message, from its request to its acknowledgement, and while there is nothing to do.
 * That does not depend on how busy the machine is, and says what becomes of Redis with many servers and of many
 * masters.
 *
 * @param {import('../main.js').Options} options
 */
export async function servers({ checkouts }) {
  const measured = []
  for (const { name, path } of checkouts) {
    measured.push({ name, ...(await measure(path)) })
  }
  const also = (/** @type {string} */ name) => (name === 'Carillon' ? '' : `, ${name}`)
  return {
    raw: { measured },
    rows: measured.flatMap(({ name, cases }) => rowsOf(cases, also(name))),
    details: [HEADINGS, ...measured.flatMap(({ name, cases }) => detailsOf(cases, also(name)))],
  }
}

/** @param {string} path of a checkout */
async function measure(path) {
  const scripts = await scriptNames(path)
  const fleets = []
  for (const { servers, masters } of CASES) {
    const redis = await startRedis({ masters, appendfsync: 'everysec' })
    const settings = { REDIS_URL: redis.url }
    const services = []
    for (let i = 0; i < servers; i += 1) services.push(await startService(path, settings))
    const name = `${plural(servers, 'server')}, ${plural(masters, 'master')}`
    fleets.push({ name, servers, masters, redis, services })
  }

  await sleep(STARTED_MS)
  // All at once, as nothing of it takes any time of the machine's.
  const stops = await Promise.all(fleets.map(({ redis }) => countCommands(redis, scripts)))
  await sleep(IDLE_MS)
  const idle = await Promise.all(stops.map((stop) => stop()))
  /** @type {Counted[]} */
  const cases = []
  for (const [i, { redis, services, ...about }] of fleets.entries()) {
    const { sent = 0, all = 0 } = idle[i] ?? {}
    const perSecond = (/** @type {number} */ count) => (count * 1_000) / IDLE_MS / services.length
    const setup = { redis, services, scripts, idlePerMs: { sent: sent / IDLE_MS, all: all / IDLE_MS } }
    const singly = await perMessage(setup, sendSingly)
    const inBatches = await perMessage(setup, sendInBatches)
    cases.push({ ...about, idleSent: perSecond(sent), idleAll: perSecond(all), singly, inBatches })
    console.error(
      `servers, ${about.name}: sent one by one ${singly.sent.toFixed(3)}, ` +
        `at once ${inBatches.sent.toFixed(4)} a message`,
    )
  }
  for (const { redis, services } of fleets) {
    await Promise.all(services.map((service) => service.stop()))
    await redis.stop()
  }
  return { cases, idle }
}

/** @typedef {import('../frame/service.js').BenchService} BenchService */

/** @type {(count: number, noun: string) => string} */
const plural = (count, noun) => `${count} ${noun}${count === 1 ? '' : 's'}`

/** @typedef {import('../frame/redis.js').BenchRedis} BenchRedis */

/**
 * @typedef {object} Setup
 * @property {BenchRedis} redis
 * @property {BenchService[]} services
 * @property {Map<string, string>} scripts
 * @property {{ sent: number, all: number }} idlePerMs what the servers together ask for anyway, and is not counted
 *   again
 */

/** @type {(setup: Setup, send: (services: BenchService[]) => Promise<number>) => Promise<Counted['singly']>} */
async function perMessage({ redis, services, scripts, idlePerMs }, send) {
  const stop = await countCommands(redis, scripts)
  const beganAt = performance.now()
  const count = await send(services)
  await within(DONE_WITHIN_MS, 'the messages to be delivered', delivered(redis))
  const ms = performance.now() - beganAt
  const { sent, all, byName } = await stop()
  const { dead = 0 } = (await services[0]?.counts()) ?? {}
  if (dead > 0) throw new Error(`${dead} messages could not be delivered`)
  const each = Object.entries(byName).map(([name, calls]) => [name, calls / count])
  return {
    sent: (sent - idlePerMs.sent * ms) / count,
    all: (all - idlePerMs.all * ms) / count,
    byName: Object.fromEntries(each),
  }
}

/** No shard has a message any more. @param {BenchRedis} redis */
async function delivered({ clients }) {
  const left = async () => (await Promise.all(clients.map((client) => client.keys('{*}:messages')))).flat()
  while ((await left()).length > 0) await sleep(LOOK_EVERY_MS)
}

/**
 * By a request for each, at an even pace that every machine can keep, to the servers in turn. @param {BenchService[]}
 * services
 */
async function sendSingly(services) {
  const beganAt = performance.now()
  const answers = []
  for (let i = 0; i < SINGLES; i += 1) {
    const waitMs = beganAt + i * SINGLE_EVERY_MS - performance.now()
    if (waitMs > 0) await sleep(waitMs)
    answers.push(post(services[i % services.length], Date.now() + DUE_IN_MS))
  }
  await Promise.all(answers)
  return SINGLES
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

/** By 1,000 a request, to the servers in turn; all due at once. @param {BenchService[]} services */
async function sendInBatches(services) {
  const at = Date.now() + BATCHES_DUE_IN_MS
  const messages = Array.from({ length: BATCH }, () => ({ at, payload: 'a message' }))
  for (let i = 0; i < BATCHES; i += 1) await services[i % services.length]?.schedule(messages)
  if (Date.now() > at) throw new Error('the messages were due before all of them were stored')
  return BATCHES * BATCH
}

/**
 * More servers beside one with as many masters, and one server with more masters beside one with one, by all that Redis
 * runs, in scripts too, for servers that share a backlog make more and smaller calls; and the most that any sends while
 * idle.
 *
 * @type {(cases: Counted[], also: string) => import('../frame/figures.js').Row[]}
 */
function rowsOf(cases, also) {
  const loads = /** @type {const} */ ([
    ['singly', 'one by one'],
    ['inBatches', '20,000 at once'],
  ])
  const besideOf = (/** @type {Counted} */ { servers, masters }) =>
    cases.find((each) => each.servers === 1 && each.masters === (servers === 1 ? 1 : masters))
  const messages = cases.flatMap((each) => {
    const beside = besideOf(each)
    if (beside === undefined || beside === each) return []
    return loads.map(([load, how]) =>
      compared({
        ...{ part: 'servers', what: `${each.name}, ${how}${also}`, unit: 'commands/1,000' },
        ...{ figures: [each[load].all * 1_000], target: FLAT },
        beside: { name: beside.name, figures: [beside[load].all * 1_000] },
      }),
    )
  })
  const idle = alone({
    ...{ part: 'servers', what: `a server, idle${also}`, unit: 'commands/s', target: IDLE },
    figures: [Math.max(...cases.map(({ idleSent }) => idleSent))],
  })
  return [...messages, idle]
}

const HEADINGS = [
  ...['sent a message', 'load', 'schedule', 'claim', 'acknowledge', 'all but idle', 'with scripts'],
  ...['idle/s a server', 'with scripts'],
]

/** Where they come from. @type {(cases: Counted[], also: string) => string[][]} */
function detailsOf(cases, also) {
  return cases.flatMap(({ name, singly, inBatches, idleSent, idleAll }) =>
    /** @type {const} */ ([
      ['one by one', singly],
      ['20,000 at once', inBatches],
    ]).map(([how, { sent, all, byName }]) => {
      const { schedule = 0, claim = 0, acknowledge = 0 } = byName
      const figures = [schedule, claim, acknowledge, sent, all].map((figure) => figure.toFixed(4))
      return [name + also, how, ...figures, idleSent.toFixed(2), idleAll.toFixed(2)]
    }),
  )
}
