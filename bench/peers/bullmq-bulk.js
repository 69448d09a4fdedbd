// @ts-check
// BullMQ's fastest way in, without HTTP: addBulk from a process of its own.
//
//   node bullmq-bulk.js REDIS_PORT
//
//   { count, nonBlockingFd, payload, delayMs, spreadMs }   adds `count` jobs, 1,000 a call, so many calls under way at
//                                                          a time, each delayed so long and by up to `spreadMs` more;
//                                                          answers { ms } when all are added

import { Queue } from 'bullmq'
import { Redis } from 'ioredis'

const CALL_JOBS = 1_000

const connection = new Redis({ port: Number(process.argv[2]), maxRetriesPerRequest: null })
const queue = new Queue('messages', { connection })
await queue.waitUntilReady()

/**
 * @typedef {{ count: number, nonBlockingFd: number, payload: string, delayMs: number, spreadMs?: number }} Order
 * @type {(order: Order) => Promise<void>}
 */
async function add({ count, nonBlockingFd, payload: data, delayMs, spreadMs = 0 }) {
  let left = count
  const line = async () => {
    while (left > 0) {
      const jobs = Array.from({ length: Math.min(CALL_JOBS, left) }, () => ({
        name: 'message',
        data,
        opts: { delay: delayMs + Math.floor(Math.random() * spreadMs), removeOnComplete: true },
      }))
      left -= jobs.length
      await queue.addBulk(jobs)
    }
  }
  await Promise.all(Array.from({ length: nonBlockingFd }, line))
}

process.on('message', async (/** @type {Parameters<typeof add>[0]} */ order) => {
  const beganAt = performance.now()
  await add(order)
  process.send?.({ ms: performance.now() - beganAt })
})
process.on('disconnect', () => process.exit())
