// @ts-check
import { setTimeout as sleep } from 'node:timers/promises'
import { monotonicMs } from '../frame/clock.js'
import { alone, whole } from '../frame/figures.js'
import { startRedis } from '../frame/redis.js'
import { inTurn } from '../frame/rounds.js'
import { startService } from '../frame/service.js'

const MESSAGES = 100_000
const BATCH = 5_000
const HOUR_MS = 3_600_000
const LOOK_EVERY_MS = 20
const ENDS_WITHIN_MS = 120_000

/**
 * @typedef {{ id: string, state: string, matched: number | null, done: number, failed: number }} Operation
 *
 * @typedef {object} Pass
 * @property {number} perSecond messages that an operation moves in a second
 * @property {number} takeoverMs from the kill -9 of its server until another has gone on
 * @property {number} wrong messages that it did not move once
 * @property {number} [othersCores] is not measured
 * @property {number} stopMs from the answer to a stop until nothing more is done
 */

/**
 * An operation on 100,000 messages: how fast it is, how soon it continues when its server is killed, whether each
 * message is moved once, and how soon it stops.
 *
 * @param {import('../main.js').Options} options
 */
export async function operations({ rounds, quiet, checkouts }) {
  const subjects = checkouts.map(({ name, path }) => ({ name, run: () => measure(path) }))
  const results = await inTurn(subjects, { rounds: Math.min(rounds, 2), quiet, title: 'operations', tell })
  const raw = { messages: MESSAGES, subjects: subjects.map(({ name }, i) => ({ name, passes: results[i] })) }
  return { raw, rows: subjects.flatMap(({ name }, i) => rowsOf(name, results[i] ?? [])) }
}

/** @param {string} name @param {readonly Pass[]} passes */
function rowsOf(name, passes) {
  const whose = name === 'Carillon' ? '' : `, ${name}`
  /**
   * @param {string} what
   * @param {string} unit
   * @param {(pass: Pass) => number} figure
   * @param {import('../frame/figures.js').Target} [target]
   */
  const row = (what, unit, figure, target) =>
    alone({
      ...{ part: 'operations', what: `${what}${whose}`, unit, figures: passes.map(figure) },
      ...(target === undefined ? {} : { target }),
    })
  return [
    row('shift of 100,000', 'messages/s', ({ perSecond }) => perSecond),
    row('not moved once, with a kill -9', 'messages', ({ wrong }) => wrong, { atMost: 0 }),
    row('takeover after a kill -9', 'ms', ({ takeoverMs }) => takeoverMs),
    row('stop', 'ms', ({ stopMs }) => stopMs, { atMost: 1_000 }),
  ]
}

/** @param {Pass} pass */
const tell = ({ perSecond, takeoverMs, wrong, stopMs }) =>
  `${whole(perSecond)} messages/s, takeover ${whole(takeoverMs)} ms, ${wrong} wrong, stop ${whole(stopMs)} ms`

/** @param {string} checkout @returns {Promise<Pass>} */
async function measure(checkout) {
  const redis = await startRedis({ appendfsync: 'everysec' })
  const [one, two] = await Promise.all([1, 2].map(() => startService(checkout, { REDIS_URL: redis.url })))
  if (one === undefined || two === undefined) throw new Error('two servers were started')
  try {
    const base = Date.now() + 24 * HOUR_MS
    const due = (/** @type {number} */ i) => base + 10 * (i % 5_000)
    for (let i = 0; i < MESSAGES; i += BATCH) {
      const part = Array.from({ length: BATCH }, (_, k) => ({
        id: `m${i + k}`,
        at: due(i + k),
        payload: i + k,
      }))
      await two.schedule(part)
    }

    const shift = (/** @type {object} */ more) =>
      begin(one.url, { action: 'shift', all: true, byMs: HOUR_MS, ...more })

    const began = monotonicMs()
    await untilEnded(one.url, await shift({}))
    const perSecond = MESSAGES / ((monotonicMs() - began) / 1_000)

    const survivor = await shift({ perSecond: 50_000 })
    await until(async () => (await find(two.url, survivor)).done > MESSAGES / 5)
    const killedAt = monotonicMs()
    process.kill(one.pid, 'SIGKILL')
    const { done } = await find(two.url, survivor)
    await until(async () => (await find(two.url, survivor)).done > done)
    const takeoverMs = monotonicMs() - killedAt
    await untilEnded(two.url, survivor)
    const wrong = await countWrong(two.url, (i) => due(i) + 2 * HOUR_MS)

    const stopped = await begin(two.url, { action: 'cancel', all: true, perSecond: 20_000 })
    await until(async () => (await find(two.url, stopped)).done > MESSAGES / 10)
    await ask(two.url, 'DELETE', `/operations/${stopped}`)
    const stopMs = await lastChange(two)
    return { perSecond, takeoverMs, wrong, stopMs }
  } finally {
    await Promise.allSettled([one.stop(), two.stop()])
    await redis.stop()
  }
}

/** @type {(url: string, method: string, path: string, body?: object) => Promise<any>} */
async function ask(url, method, path, body) {
  const response = await fetch(`${url}/v1${path}`, {
    method,
    ...(body === undefined
      ? {}
      : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })
  if (!response.ok) throw new Error(`${method} ${path} was answered ${response.status}`)
  return response.json()
}

/** @type {(url: string, body: object) => Promise<string>} */
const begin = async (url, body) => (await ask(url, 'POST', '/operations', body)).id

/** @type {(url: string, id: string) => Promise<Operation>} */
const find = (url, id) => ask(url, 'GET', `/operations/${id}`)

/** @param {() => Promise<boolean>} holds */
async function until(holds) {
  const giveUpAt = monotonicMs() + ENDS_WITHIN_MS
  while (!(await holds())) {
    if (monotonicMs() > giveUpAt) throw new Error('waited too long for an operation')
    await sleep(LOOK_EVERY_MS)
  }
}

/** @param {string} url @param {string} id */
async function untilEnded(url, id) {
  await until(async () => (await find(url, id)).state !== 'running')
  const { state, matched, done, failed } = await find(url, id)
  if (state !== 'done' || matched !== MESSAGES || done !== MESSAGES || failed > 0)
    throw new Error(`an operation ended ${state}: ${done} done and ${failed} failed of ${matched}`)
}

/** @type {(url: string, dueAt: (i: number) => number) => Promise<number>} messages that were not moved twice */
async function countWrong(url, dueAt) {
  let right = 0
  for (let cursor = ''; ; ) {
    const page = await ask(url, 'GET', `/messages?limit=1000${cursor}`)
    for (const { id, at, version } of page.messages)
      if (version === 3 && Date.parse(at) === dueAt(Number(id.slice(1)))) right += 1
    if (page.nextCursor === null) return MESSAGES - right
    cursor = `&cursor=${page.nextCursor}`
  }
}

/** @param {import('../frame/service.js').BenchService} service @returns {Promise<number>} ms until its messages stay */
async function lastChange(service) {
  const from = monotonicMs()
  let [left, changedMs] = [(await service.counts()).scheduled, 0]
  while (monotonicMs() - from < 1_500) {
    await sleep(LOOK_EVERY_MS)
    const { scheduled } = await service.counts()
    if (scheduled !== left) changedMs = monotonicMs() - from
    left = scheduled
  }
  return changedMs
}
