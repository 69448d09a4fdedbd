// @ts-check
// A BullMQ queue with a worker whose jobs do nothing, a process of its own. Finished jobs are removed, which is the
// least that it can be asked to do with them.
//
//   node bullmq-worker.js HOST PORT QUEUE
//
//   { fill, payload }   adds so many jobs that may start at once, by addBulk; answers {} when all are stored
//   { concurrency }     makes a worker, which waits; answers {} when it is connected
//   { go: true }        lets it begin; answers { beganAt }, epoch ms
//   { end: true }       answers { processed }, the jobs that this worker has had, when it is closed

import { Queue, Worker } from 'bullmq'

const [, , host = '', port, name = ''] = process.argv
const connection = { host, port: Number(port) }
const BATCH = 1_000
const OPTIONS = { removeOnComplete: true }

const queue = new Queue(name, { connection })
/** @type {Worker | undefined} */
let worker
let processed = 0

/** @type {(count: number, payload: string) => Promise<void>} */
async function fill(count, payload) {
  for (let left = count; left > 0; left -= BATCH) {
    const job = { name: 'bench', data: { payload }, opts: OPTIONS }
    await queue.addBulk(Array.from({ length: Math.min(BATCH, left) }, () => job))
  }
}

/** @type {(concurrency: number) => Promise<void>} */
async function prepare(concurrency) {
  processed = 0
  const job = async () => {
    processed += 1
  }
  worker = new Worker(name, job, { connection, concurrency, autorun: false })
  worker.on('error', (error) => console.error(`BullMQ: ${error.message}`))
  await worker.waitUntilReady()
}

/** @typedef {{ fill?: number, payload?: string, concurrency?: number, go?: true, end?: true }} Order */

process.on('message', async (/** @type {Order} */ order) => {
  const { fill: count, payload = '', concurrency, go, end } = order
  if (count !== undefined) await fill(count, payload)
  else if (concurrency !== undefined) await prepare(concurrency)
  else if (go) {
    const beganAt = Date.now()
    void worker?.run()
    process.send?.({ beganAt })
    return
  } else if (end) {
    await worker?.close()
    process.send?.({ processed })
    return
  }
  process.send?.({})
})
process.on('disconnect', () => process.exit())
