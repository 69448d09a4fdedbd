// @ts-check
import { setTimeout as sleep } from 'node:timers/promises'
import { fill } from '../frame/fill.js'
import { load } from '../frame/load.js'
import { startMeter } from '../frame/meter.js'
import { within } from '../frame/processes.js'
import { forget, settleTables, startReadSubject } from '../frame/subject.js'

const DAY_MS = 86_400_000
const CONNECTIONS = 256
/** The pending are due from tomorrow on for a year, at so many different times. */
const TIMES = 40_000
/** What the pending hold, 100 bytes as JSON. */
const PAYLOAD = 'p'.repeat(98)
/** What is stored besides, and taken out again before anything is measured: more than is added meanwhile. */
const PASSING = 250_000
const REWRITTEN_WITHIN_MS = 600_000
const LOOK_EVERY_MS = 50

/**
 * One server whose Redis holds messages that are far from due, all of them in its append-only file.
 *
 * @param {string} checkout
 * @param {number} pending
 */
export async function startLevel(checkout, pending) {
  const subject = await startReadSubject(checkout)
  const { client, service } = subject
  const beganAt = performance.now()
  await client.config('SET', 'appendonly', 'no')
  const messages = Array.from({ length: Math.min(TIMES, pending) }, () => ({
    at: Date.now() + DAY_MS + Math.floor(Math.random() * 365 * DAY_MS),
    payload: PAYLOAD,
  }))
  await service.well(fill([service.url], messages, pending))
  const passingAt = Date.now() + 2 * 365 * DAY_MS
  await service.well(fill([service.url], [{ at: passingAt, payload: PAYLOAD }], PASSING))
  await forget(client, passingAt)
  await settleTables(client, pending + PASSING)
  await client.config('SET', 'appendonly', 'yes')
  const rewritten = async () => {
    let info = ''
    do {
      await sleep(LOOK_EVERY_MS)
      info = await client.info('persistence')
    } while (/aof_rewrite_(in_progress|scheduled):1/.test(info))
    if (!info.includes('aof_last_bgrewrite_status:ok')) throw new Error('the file could not be rewritten')
  }
  await within(REWRITTEN_WITHIN_MS, 'Redis to write all that it holds', rewritten())
  const usedMemory = await subject.redis.usedMemory()
  return { ...subject, usedMemory, filledInMs: performance.now() - beganAt }
}

/** @typedef {Awaited<ReturnType<typeof startLevel>>} Level */

/**
 * @typedef {object} HttpPass
 * @property {number} perSecond requests
 * @property {number} p99Ms
 * @property {number} senderCpuUs CPU of the server, µs per message
 * @property {number} redisCpuUs
 * @property {number} othersCores how many cores other programs kept busy meanwhile
 */

/**
 * POST /echoAtTime for some seconds. What it stored is taken out again, so that the level stays what it is.
 *
 * @param {Level} level
 * @param {number} seconds
 * @returns {Promise<HttpPass>}
 */
export async function addOverHttp({ service, redis, client }, seconds) {
  const time = Date.now() + 2 * 365 * DAY_MS
  const body = JSON.stringify({ time, message: PAYLOAD })
  const meter = startMeter({ server: service.pid, redis: redis.pid })
  const { requests, requestsPerSecond, p99Ms } = await service.well(
    load({ url: `${service.url}/echoAtTime`, connections: CONNECTIONS, seconds, body }),
  )
  const { cpuMs, othersCores } = meter()
  await forget(client, time)
  const each = (/** @type {number} */ ms) => (ms * 1_000) / requests
  return {
    ...{ perSecond: requestsPerSecond, p99Ms, othersCores },
    ...{ senderCpuUs: each(cpuMs.server), redisCpuUs: each(cpuMs.redis) },
  }
}
