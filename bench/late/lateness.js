// @ts-check
import { setTimeout as sleep } from 'node:timers/promises'
import { PAYLOAD } from '../drain/backlog.js'
import { createLead } from '../frame/fill.js'
import { startMeter } from '../frame/meter.js'
import { startHelper } from '../frame/processes.js'
import { startRedis } from '../frame/redis.js'
import { startReader } from '../frame/subject.js'

/**
 * @typedef {object} Pass
 * @property {import('../frame/reader.js').Quantiles} lateness ms, from when a message was due to when its line was read
 * @property {import('../frame/reader.js').Quantiles} ownLateness as the lines say it: when it was claimed, or a timer
 *   fired
 * @property {number} senderCpuUs CPU of the server or the process with the timers, µs per message
 * @property {number} redisCpuUs
 * @property {number} othersCores how many cores other programs kept busy meanwhile
 *
 * @typedef {object} Timetable
 * @property {number} perSecond messages
 * @property {number[]} offsets when each message is due, ms after the first may be, random
 */

const READ_WITHIN_MS = 60_000
const ANSWER_TIMEOUT_MS = 60_000

/**
 * @param {number} perSecond
 * @param {number} seconds
 * @returns {Timetable}
 */
export function randomTimetable(perSecond, seconds) {
  const offsets = Array.from({ length: perSecond * seconds }, () =>
    Math.floor(Math.random() * seconds * 1_000),
  )
  return { perSecond, offsets }
}

/**
 * Has one server deliver messages that were scheduled before, each at its own millisecond.
 *
 * @param {import('../frame/subject.js').ReadSubject} subject which may hold other messages, due much later
 * @param {Timetable} timetable
 * @returns {Promise<Pass>}
 */
export async function lateService({ service, redis, reader, lead }, { offsets }) {
  const count = offsets.length
  await reader.reset()
  const at = await lead(
    count,
    (at) => service.schedule(offsets.map((offset) => ({ at: at + offset, payload: PAYLOAD }))),
    () => discard(reader, count),
  )
  return measure({ pid: service.pid, redis, reader }, { at, count }, service.well)
}

/**
 * Has timers do the same.
 *
 * @param {Timers} timers
 * @param {Timetable} timetable
 * @returns {Promise<Pass>}
 */
export async function lateTimers({ process, redis, reader, lead }, { offsets }) {
  const count = offsets.length
  await reader.reset()
  const at = await lead(
    count,
    async (at) => {
      await process.ask({ dueAt: offsets.map((offset) => at + offset), payload: PAYLOAD }, ANSWER_TIMEOUT_MS)
    },
    () => discard(reader, count),
  )
  return measure({ pid: process.pid, redis, reader }, { at, count }, (promise) => promise)
}

/** @type {(reader: import('../frame/subject.js').Reader, count: number) => Promise<void>} */
async function discard(reader, count) {
  await reader.until(count, READ_WITHIN_MS)
  await reader.reset()
}

/**
 * @typedef {import('../frame/redis.js').BenchRedis} BenchRedis
 * @param {{ pid: number, redis: BenchRedis, reader: import('../frame/subject.js').Reader }} parts
 * @param {{ at: number, count: number }} expected
 * @param {<T>(promise: Promise<T>) => Promise<T>} well
 * @returns {Promise<Pass>}
 */
async function measure({ pid, redis, reader }, { at, count }, well) {
  const arrived = well(reader.until(count, READ_WITHIN_MS))
  arrived.catch(() => undefined)
  await sleep(at - Date.now() - 20)
  const meter = startMeter({ sender: pid, redis: redis.pid })
  await arrived
  const { cpuMs, othersCores } = meter()
  const { lines, distinct, lateness, ownLateness, complaint } = await reader.take()
  if (complaint !== undefined) throw new Error(`the server complains: ${complaint}`)
  if (lines !== count || distinct !== count) {
    throw new Error(`${count} messages were ${lines} lines, ${distinct} different ones`)
  }
  const each = (/** @type {number} */ ms) => (ms * 1_000) / count
  return {
    ...{ lateness, ownLateness, othersCores },
    ...{ senderCpuUs: each(cpuMs.sender), redisCpuUs: each(cpuMs.redis) },
  }
}

/** The process with the timers, its own Redis and its own reader, all as the service has them. */
export async function startTimers() {
  const redis = await startRedis()
  const reader = startReader()
  const file = new URL('timers.js', import.meta.url)
  const process = startHelper(file, [String(redis.port)], { stdout: reader.input })
  reader.input.destroy()
  return {
    ...{ redis, reader, process, lead: createLead() },
    async stop() {
      await process.stop()
      await redis.stop()
      await reader.stop()
    },
  }
}

/** @typedef {Awaited<ReturnType<typeof startTimers>>} Timers */
