// @ts-check
// Others who use the servers meanwhile, a process of its own: to each server a look at a message and a new one, again
// and again however long the answers take, and PINGs to Redis.
//
//   node prober.js REDIS_PORT URL...
//
//   { begin: true }   begins; answers {}
//   { end: true }     ends; answers Probed, of what was sent since the beginning

import { Redis } from 'ioredis'
import { Agent } from 'undici'

/**
 * @typedef {object} Times ms
 * @property {number} count
 * @property {number} p50
 * @property {number} p99
 * @property {number} most
 *
 * @typedef {object} Probed
 * @property {Times} looks GET /v1/messages/:id
 * @property {Times} adds POST /echoAtTime
 * @property {Times} requests both
 * @property {Times} pings of Redis
 * @property {string[]} failures of requests, in words
 */

const [, , port, ...urls] = process.argv
const EVERY_MS = 50
const PING_EVERY_MS = 20
const DAY_MS = 86_400_000

const redis = new Redis({ port: Number(port), protocol: 2 })
const agent = new Agent({ connections: 16, pipelining: 1 })
const headers = { 'content-type': 'application/json' }

/** @type {{ looks: number[], adds: number[], pings: number[] }} */
let times = { looks: [], adds: [], pings: [] }
/** @type {string[]} */
let failures = []
/** @type {NodeJS.Timeout[]} */
let timers = []
/** @type {Set<Promise<void>>} */
const inFlight = new Set()

/** @type {(list: number[], act: () => Promise<void>) => void} */
function probe(list, act) {
  const beganAt = performance.now()
  const done = act()
    .then(() => void list.push(performance.now() - beganAt))
    .catch((error) => void failures.push(String(error)))
    .finally(() => inFlight.delete(done))
  inFlight.add(done)
}

/** @type {(url: string) => Promise<string>} the id of a message due tomorrow */
async function add(url) {
  const body = JSON.stringify({ time: Date.now() + DAY_MS, message: 'tomorrow' })
  const answer = await agent.request({ origin: url, path: '/echoAtTime', method: 'POST', headers, body })
  const text = await answer.body.text()
  if (answer.statusCode !== 200) throw new Error(`POST /echoAtTime: ${answer.statusCode} ${text}`)
  return JSON.parse(text).id
}

/** @type {(url: string, id: string) => Promise<void>} */
async function look(url, id) {
  const path = `/v1/messages/${encodeURIComponent(id)}`
  const answer = await agent.request({ origin: url, path, method: 'GET' })
  const text = await answer.body.text()
  if (answer.statusCode !== 200) throw new Error(`GET /v1/messages: ${answer.statusCode} ${text}`)
}

async function begin() {
  const ids = await Promise.all(urls.map(add))
  times = { looks: [], adds: [], pings: [] }
  failures = []
  const { looks, adds, pings } = times
  timers = urls.flatMap((url, i) => [
    setInterval(() => probe(looks, () => look(url, ids[i] ?? '')), EVERY_MS),
    setInterval(() => probe(adds, async () => void (await add(url))), EVERY_MS),
  ])
  timers.push(setInterval(() => probe(pings, async () => void (await redis.ping())), PING_EVERY_MS))
}

/** @returns {Promise<Probed>} */
async function end() {
  for (const timer of timers) clearInterval(timer)
  await Promise.all(inFlight)
  const { looks, adds, pings } = times
  return {
    ...{ looks: summary(looks), adds: summary(adds), requests: summary([...looks, ...adds]) },
    ...{ pings: summary(pings), failures },
  }
}

/** @type {(list: number[]) => Times} */
function summary(list) {
  const sorted = list.toSorted((a, b) => a - b)
  const at = (/** @type {number} */ part) => sorted[Math.ceil(sorted.length * part) - 1] ?? Number.NaN
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), most: at(1) }
}

process.on('message', async (/** @type {{ begin?: true, end?: true }} */ order) => {
  if (order.begin) await begin()
  process.send?.(order.end ? await end() : {})
})
process.on('disconnect', () => process.exit())
