// @ts-check
import { setTimeout as sleep } from 'node:timers/promises'
import { fill } from '../frame/fill.js'
import { startMeter } from '../frame/meter.js'
import { within } from '../frame/processes.js'
import { dueIn, streamKey } from '../frame/subject.js'

/** As long as the "~95 bytes" that others are compared with, as JSON. */
export const PAYLOAD = `invoice 4711 of customer c_8Jq2Lm0aXz is due: ${'x'.repeat(47)}`

const LOOK_EVERY_MS = 10
const PASS_WITHIN_MS = 120_000
const ANSWER_TIMEOUT_MS = 60_000
const STREAM = 'bench'

/**
 * @typedef {object} Pass one backlog
 * @property {number} perSecond messages a second, from when the first may be delivered until none is left
 * @property {number} senderCpuUs CPU of the server or worker, µs per message
 * @property {number} redisCpuUs
 * @property {number} othersCores how many cores other programs kept busy meanwhile
 * @property {Record<string, number>} callsPerMessage Redis commands, from scripts too
 */

/**
 * Lets one server empty a backlog that becomes due in one moment, all of it stored before.
 *
 * @param {import('../frame/subject.js').Subject} subject which may hold other messages, due much later
 * @param {{ count: number, to: 'console' | 'stream' }} backlog of so many at least
 * @returns {Promise<Pass>}
 */
export async function drainService({ redis, client, console, service, lead }, { count: wanted, to }) {
  const destination = to === 'stream' ? { type: to, name: STREAM } : { type: to }
  const at = await lead(
    wanted,
    (at) => fill([service.url], [{ at, payload: PAYLOAD, destination }], wanted),
    async (at) => {
      await untilNone(() => dueIn(client, at))
      await Promise.all([console.take(), client.del(streamKey(STREAM))])
    },
  )
  const count = await dueIn(client, at)
  await sleep(at - Date.now() - 30)
  const callsBefore = await redis.calls()
  const meter = startMeter({ sender: service.pid, redis: redis.pid })
  await sleep(at - Date.now())
  const endedAt = await service.well(untilNone(() => dueIn(client, at)))
  const pass = figuresOf(meter(), { count, ms: endedAt - at, callsBefore, callsAfter: await redis.calls() })
  if (to === 'console') {
    const { lines, distinct } = await console.take()
    if (lines !== count || distinct !== count) {
      throw new Error(`${count} messages were ${lines} lines, ${distinct} different ones`)
    }
  } else {
    const length = await client.xlen(streamKey(STREAM))
    if (length !== count) throw new Error(`${count} messages were ${length} entries of the stream`)
    await client.del(streamKey(STREAM))
  }
  return pass
}

/**
 * Lets one worker empty a backlog of jobs that wait.
 *
 * @param {Awaited<ReturnType<typeof import('./drain.js').startPeer>>} peer
 * @param {{ count: number, concurrency: number }} backlog
 * @returns {Promise<Pass>}
 */
export async function drainPeer({ redis, client, worker, queue }, { count, concurrency }) {
  await worker.ask({ fill: count, payload: PAYLOAD }, ANSWER_TIMEOUT_MS)
  await worker.ask({ concurrency }, ANSWER_TIMEOUT_MS)
  const callsBefore = await redis.calls()
  const meter = startMeter({ sender: worker.pid, redis: redis.pid })
  const { beganAt } = /** @type {{ beganAt: number }} */ (await worker.ask({ go: true }, ANSWER_TIMEOUT_MS))
  const endedAt = await untilNone(async () => {
    const [waiting, active] = await Promise.all([
      client.llen(`bull:${queue}:wait`),
      client.llen(`bull:${queue}:active`),
    ])
    return waiting + active
  })
  const callsAfter = await redis.calls()
  const pass = figuresOf(meter(), { count, ms: endedAt - beganAt, callsBefore, callsAfter })
  const { processed } = /** @type {{ processed: number }} */ (
    await worker.ask({ end: true }, ANSWER_TIMEOUT_MS)
  )
  if (processed !== count) throw new Error(`${count} jobs were processed ${processed} times`)
  return pass
}

/**
 * @param {() => Promise<number>} left messages
 * @param {number} withinMs
 * @returns {Promise<number>} when there were none, epoch ms
 */
export async function untilNone(left, withinMs = PASS_WITHIN_MS) {
  const none = async () => {
    while ((await left()) > 0) await sleep(LOOK_EVERY_MS)
    return Date.now()
  }
  return within(withinMs, 'the last message', none())
}

/**
 * @param {import('../frame/meter.js').Used<'sender' | 'redis'>} used
 * @param {{ count: number, ms: number, callsBefore: Map<string, number>, callsAfter: Map<string, number> }} measured
 * @returns {Pass}
 */
function figuresOf({ cpuMs, othersCores }, { count, ms, callsBefore, callsAfter }) {
  const calls = [...callsAfter].map(([name, n]) => [name, (n - (callsBefore.get(name) ?? 0)) / count])
  return {
    perSecond: (count * 1_000) / ms,
    senderCpuUs: (cpuMs.sender * 1_000) / count,
    redisCpuUs: (cpuMs.redis * 1_000) / count,
    othersCores,
    callsPerMessage: Object.fromEntries(calls.filter(([, n]) => Number(n) > 0)),
  }
}
