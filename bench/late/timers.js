// @ts-check
// What lateness is compared with, a process of its own: a bare timer for each message and, when it fires, one round
// trip to Redis that writes, then a line like the service's on standard output.
//
//   node timers.js REDIS_PORT
//
//   { dueAt, payload }   sets a timer for each due time (epoch ms), which have to be ahead; answers {} when all are set

import { Redis } from 'ioredis'

const redis = new Redis({ port: Number(process.argv[2]), protocol: 2 })
/** Timers count from when the turn of the event loop began, so a turn has to be short. */
const TIMERS_A_TURN = 200
let made = 0

/** @type {(dueAt: number, msg: string) => Promise<void>} */
async function deliver(dueAt, msg) {
  made += 1
  const id = `~${String(made).padStart(11, '0')}`
  const lateMs = Date.now() - dueAt
  await redis.set(id, '', 'PX', 30_000)
  const line = { level: 30, time: Date.now(), messageId: id, dueAt, lateMs, attempt: 1, msg }
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

process.on('message', async (/** @type {{ dueAt: number[], payload: string }} */ { dueAt, payload }) => {
  for (let i = 0; i < dueAt.length; i += TIMERS_A_TURN) {
    await new Promise((resolve) => setImmediate(resolve))
    const now = Date.now()
    for (const at of dueAt.slice(i, i + TIMERS_A_TURN)) {
      setTimeout(() => deliver(at, payload), at - now)
    }
  }
  process.send?.({})
})
process.on('disconnect', () => process.exit())
