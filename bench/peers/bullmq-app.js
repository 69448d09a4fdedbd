// @ts-check
// The service's own HTTP side in front of a BullMQ queue.
//
//   REDIS_PORT   where the queue is
//   AUTO_PIPELINE   1: commands of one event-loop turn are sent together

import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { listen } from './app.js'

const connection = new Redis({
  port: Number(process.env.REDIS_PORT),
  maxRetriesPerRequest: null,
  enableAutoPipelining: process.env.AUTO_PIPELINE === '1',
})
const queue = new Queue('messages', { connection })
await queue.waitUntilReady()

await listen(async ({ dueAt, payload: message }) => {
  const { id } = await queue.add(
    'message',
    { message },
    { delay: dueAt - Date.now(), removeOnComplete: true },
  )
  return id ?? ''
})
