// @ts-check
import { setTimeout as sleep } from 'node:timers/promises'
import { compared } from '../frame/figures.js'
import { startHelper } from '../frame/processes.js'
import { startRedis } from '../frame/redis.js'
import { startService } from '../frame/service.js'

const COUNT = 1_000_000
const REQUEST = 10_000
const AT_ONCE = 4
const PAYLOAD = 'x'.repeat(100)
const DUE_IN_MS = 3_600_000
const SPREAD_MS = 3_600_000
const ADD_WITHIN_MS = 600_000
/** What was in use for requests is free again. */
const SETTLE_MS = 1_000
const OF_BULLMQ = { atMost: 0.33 }

/**
 * How much memory a pending message takes: by how much Redis has grown from empty to a million. One round, as it is the
 * same in each; and without an append-only file, which takes none of it.
 *
 * @param {import('../main.js').Options} options
 */
export async function memory({ checkouts }) {
  const beside = await bytesPerMessage('BullMQ delayed', fillBullmq)
  const rows = []
  const subjects = [{ name: 'BullMQ delayed', bytes: beside }]
  for (const { name, path } of checkouts) {
    const bytes = await bytesPerMessage(name, (redis) => fillService(path, redis))
    subjects.push({ name, bytes })
    rows.push(
      compared({
        ...{ part: 'memory', what: name === 'Carillon' ? '1,000,000 pending' : `1,000,000 pending, ${name}` },
        ...{ unit: 'bytes each', figures: [bytes], target: OF_BULLMQ },
        beside: { name: 'BullMQ delayed', figures: [beside] },
      }),
    )
  }
  return { raw: { count: COUNT, payloadBytes: PAYLOAD.length, subjects }, rows }
}

/** @typedef {import('../frame/redis.js').BenchRedis} BenchRedis */

/** @type {(name: string, fill: (redis: BenchRedis) => Promise<void>) => Promise<number>} */
async function bytesPerMessage(name, fill) {
  const redis = await startRedis({ appendfsync: 'off' })
  const before = await redis.usedMemory()
  await fill(redis)
  await sleep(SETTLE_MS)
  const bytes = ((await redis.usedMemory()) - before) / COUNT
  await redis.stop()
  console.error(`memory, ${name}: ${bytes.toFixed(0)} bytes each`)
  return bytes
}

/** @param {BenchRedis} redis */
async function fillBullmq(redis) {
  const bulk = startHelper(new URL('../peers/bullmq-bulk.js', import.meta.url), [String(redis.port)])
  const order = {
    count: COUNT,
    nonBlockingFd: AT_ONCE,
    payload: PAYLOAD,
    delayMs: DUE_IN_MS,
    spreadMs: SPREAD_MS,
  }
  await bulk.ask(order, ADD_WITHIN_MS)
  await bulk.stop()
}

/** @type {(path: string, redis: BenchRedis) => Promise<void>} */
async function fillService(path, redis) {
  const service = await startService(path, { REDIS_URL: redis.url })
  let left = COUNT
  const line = async () => {
    while (left > 0) {
      const count = Math.min(REQUEST, left)
      left -= count
      const from = Date.now() + DUE_IN_MS
      const messages = Array.from({ length: count }, () => ({
        at: from + Math.floor(Math.random() * SPREAD_MS),
        payload: PAYLOAD,
      }))
      await service.schedule(messages)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, line))
  const { scheduled } = await service.counts()
  if (scheduled !== COUNT) throw new Error(`${scheduled} messages are pending, and ${COUNT} should be`)
  await service.stop()
}
