// @ts-check
import { compared, median, short, whole } from '../frame/figures.js'
import { inTurn } from '../frame/rounds.js'
import { startReadSubject } from '../frame/subject.js'
import { lateService, lateTimers, randomTimetable, startTimers } from './lateness.js'

/** @typedef {import('./lateness.js').Pass} Pass */

const RATES = [1_000, 10_000]
const SECONDS = 4
const TARGETS = { p50: { atMost: 1.5 }, p99: { atMost: 2 } }

/**
 * How late messages are that are due at random milliseconds: from when each was due to when its line could be read by
 * another process. Beside a bare timer for each and one round trip to Redis, in a process like the server's, with a
 * Redis and a reader like the server's.
 *
 * @param {import('../main.js').Options} options
 */
export async function late({ rounds, quiet, checkouts }) {
  const timers = await startTimers()
  const services = []
  for (const { name, path } of checkouts) services.push({ name, subject: await startReadSubject(path) })
  const measured = []
  for (const perSecond of RATES) {
    // One timetable a round, the same for all.
    const timetables = Array.from({ length: rounds + 1 }, () => randomTimetable(perSecond, SECONDS))
    const timetable = (/** @type {number} */ round) =>
      timetables[round] ?? randomTimetable(perSecond, SECONDS)
    const subjects = [
      { name: 'timers', run: (/** @type {number} */ round) => lateTimers(timers, timetable(round)) },
      ...services.map(({ name, subject }) => ({
        ...{ name, run: (/** @type {number} */ round) => lateService(subject, timetable(round)) },
      })),
    ]
    const results = await inTurn(subjects, { rounds, quiet, title: `late, ${whole(perSecond)}/s`, tell })
    const named = subjects.map(({ name }, i) => ({ name, passes: results[i] ?? [] }))
    measured.push({ perSecond, subjects: named })
  }
  for (const { subject } of services) await subject.stop()
  await timers.stop()

  const raw = { seconds: SECONDS, redis: timers.redis.version, measured }
  return { raw, rows: measured.flatMap(rowsOf), details: [HEADINGS, ...measured.flatMap(detailsOf)] }
}

/** @typedef {{ perSecond: number, subjects: { name: string, passes: Pass[] }[] }} Measured */

/** @param {Measured} measured */
function rowsOf({ perSecond, subjects: [beside, ...ours] }) {
  return ours.flatMap(({ name, passes }) =>
    /** @type {const} */ (['p50', 'p99']).map((quantile) => {
      const figures = (/** @type {Pass[]} */ all) => all.map(({ lateness }) => lateness[quantile])
      const whose = name === 'Carillon' ? '' : `, ${name}`
      return compared({
        ...{ part: 'late', what: `${quantile} at ${whole(perSecond)}/s${whose}`, unit: 'ms' },
        ...{ figures: figures(passes), target: TARGETS[quantile] },
        beside: { name: 'setTimeout and a round trip', figures: figures(beside?.passes ?? []) },
      })
    }),
  )
}

/** @param {Pass} pass */
const tell = ({ lateness: { p50, p99 }, senderCpuUs, redisCpuUs, othersCores }) =>
  `p50 ${short(p50)} ms, p99 ${short(p99)} ms, CPU µs each: ${short(senderCpuUs)}, Redis ${short(redisCpuUs)}; ` +
  `others ${short(othersCores)} cores`

const HEADINGS = [
  ...['late, ms', 'from', 'p50', 'p90', 'p99', 'p99.9', 'most', 'claimed p50', 'p99'],
  ...['CPU µs each: sender', 'Redis', 'others, cores'],
]

/** @param {Measured} measured */
function detailsOf({ perSecond, subjects }) {
  return subjects.map(({ name, passes }) => {
    const middle = (/** @type {(pass: Pass) => number} */ figure) => short(median(passes.map(figure)))
    return [
      ...[`${whole(perSecond)}/s`, name],
      ...[middle(({ lateness }) => lateness.p50), middle(({ lateness }) => lateness.p90)],
      ...[middle(({ lateness }) => lateness.p99), middle(({ lateness }) => lateness.p999)],
      middle(({ lateness }) => lateness.most),
      ...[middle(({ ownLateness }) => ownLateness.p50), middle(({ ownLateness }) => ownLateness.p99)],
      ...[middle(({ senderCpuUs }) => senderCpuUs), middle(({ redisCpuUs }) => redisCpuUs)],
      middle(({ othersCores }) => othersCores),
    ]
  })
}
