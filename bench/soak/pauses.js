// @ts-check
import { once } from 'node:events'
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { fill } from '../frame/fill.js'
import { startRedis } from '../frame/redis.js'
import { startService } from '../frame/service.js'

const CHECKOUT = fileURLToPath(new URL('../..', import.meta.url))
const SERVERS = 3
const SPREAD_S = 60
/** After the answer, no delivery may begin later than this. */
const SETTLED_MS = 100
const WITHIN_MS = 300_000

/** Counts webhooks by when they came, and by their ids. */
async function openReceiver() {
  /** @type {number[]} */
  const cameAt = []
  const ids = new Set()
  const server = createServer((request, response) => {
    cameAt.push(Date.now())
    ids.add(request.headers['webhook-id'])
    request.resume().on('end', () => response.end())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  return { url: `http://127.0.0.1:${port}`, cameAt, ids, close: () => server.close() }
}

/** @param {string} url @param {string} method @param {string} path @param {object} body */
async function call(url, method, path, body) {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(url + path, { method, headers, body: JSON.stringify(body) })
  if (!response.ok) throw new Error(`${method} ${path} was answered ${response.status}`)
  return /** @type {any} */ (await response.json())
}

/**
 * A webhook host is paused on several servers while messages for it are accepted, and resumed over a time; one server
 * ends meanwhile.
 *
 * @param {{ messages: number }} options
 */
export async function pauses({ messages }) {
  const redis = await startRedis({ appendfsync: 'everysec' })
  const receiver = await openReceiver()
  const settings = { REDIS_URL: redis.url, WEBHOOK_ALLOW: '127.0.0.1' }
  const servers = await Promise.all(Array.from({ length: SERVERS }, () => startService(CHECKOUT, settings)))
  try {
    const [one, two] = servers
    if (one === undefined || two === undefined) throw new Error('too few servers')
    const message = { payload: 1, destination: { type: 'webhook', url: `${receiver.url}/` } }
    const target = `destination:webhook:${receiver.url}`
    await fill([one.url], [message], messages / 10)
    await call(one.url, 'POST', '/v1/pauses', { target })
    const pausedAt = Date.now()
    await fill(
      servers.map(({ url }) => url),
      [message],
      messages,
    )
    const late = receiver.cameAt.filter((at) => at > pausedAt + SETTLED_MS).length
    const before = receiver.cameAt.length

    const path = `/v1/pauses?target=${encodeURIComponent(target)}`
    const resumedAt = Date.now()
    const { waiting } = await call(one.url, 'DELETE', path, { spread: `${SPREAD_S}s` })
    await sleep((SPREAD_S * 1_000) / 2)
    await one.stop()
    const wanted = before + waiting
    for (const until = Date.now() + WITHIN_MS; receiver.ids.size < wanted && Date.now() < until; )
      await sleep(100)
    const tenths = Array.from({ length: 10 }, (_, i) => {
      const from = resumedAt + i * SPREAD_S * 100
      return receiver.cameAt.filter((at) => at >= from && at < from + SPREAD_S * 100).length / waiting
    })
    const percent = tenths.map((part) => (100 * part).toFixed(1)).join(' ')
    return [
      { promise: `no delivery begins ${SETTLED_MS} ms after the answer`, holds: late === 0, seen: `${late}` },
      {
        promise: 'all that was accepted comes',
        holds: receiver.ids.size === wanted && waiting >= messages,
        seen: `${receiver.ids.size} of ${wanted}`,
      },
      {
        promise: 'each tenth of the time has 8 to 12 % of what waited',
        holds: tenths.every((part) => part >= 0.08 && part <= 0.12),
        seen: `${percent} %`,
      },
    ]
  } finally {
    await Promise.all(servers.map((server) => server.stop()))
    receiver.close()
    await redis.stop()
  }
}
