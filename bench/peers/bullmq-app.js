// @ts-check
// The service's own HTTP side in front of a BullMQ queue.
//
//   REDIS_PORT   where the queue is

import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { listen } from './app.js'

const connection = new Redis({
  port: Number(process.env.REDIS_PORT),
  maxRetriesPerRequest: null,
  enableAutoPipelining: true, // costs both processes less than each command by itself
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
