// @ts-check
import { drainService } from '../drain/backlog.js'
import { compared, median, short, whole } from '../frame/figures.js'
import { inTurn } from '../frame/rounds.js'
import { lateService, randomTimetable } from '../late/lateness.js'
import { addOverHttp, startLevel } from './level.js'

const LEVELS = [10_000, 1_000_000]
/** Only when asked for: storing them takes minutes, and 4 GB of memory. */
const HUGE_LEVEL = 10_000_000
const MOST_ROUNDS = 3
const BACKLOG = 50_000
const PER_SECOND = 5_000
const SECONDS = 4
/**
 * A rate may be so much of what it is at the lowest level, and a time so many times that: the same, the other way
 * around.
 */
const RATE = { atLeast: 0.8 }
const TIME = { atMost: 1.25 }

/**
 * What the service does no worse with many messages pending than with few: taking messages, emptying a backlog, and
 * being punctual. One server for each level, all at the same time, measured in turn.
 *
 * @param {import('../main.js').Options} options
 */
export async function growth({ rounds, seconds, quiet, huge, checkouts }) {
  const order = { rounds: Math.min(rounds, MOST_ROUNDS), quiet }
  const measured = []
  for (const { name, path } of checkouts) {
    /** @type {{ pending: number, level: import('./level.js').Level, filledInMs: number, usedMemory: number }[]} */
    const levels = []
    for (const pending of huge ? [...LEVELS, HUGE_LEVEL] : LEVELS) {
      const level = await startLevel(path, pending)
      const { filledInMs, usedMemory } = level
      console.error(`growth, ${whole(pending)} pending: stored in ${whole(filledInMs)} ms`)
      levels.push({ pending, level, filledInMs, usedMemory })
    }
    const timetables = Array.from({ length: rounds + 1 }, () => randomTimetable(PER_SECOND, SECONDS))
    /**
     * @template {{ othersCores: number }} T
     * @param {string} what
     * @param {(level: import('./level.js').Level, round: number) => Promise<T>} run
     * @param {(pass: T) => string} tell
     */
    const each = (what, run, tell) =>
      inTurn(
        levels.map(({ pending, level }) => ({
          ...{ name: `${whole(pending)} pending`, run: (/** @type {number} */ round) => run(level, round) },
        })),
        { ...order, title: `growth, ${what}`, tell },
      )
    const http = await each('http', (level) => addOverHttp(level, seconds), tellRate)
    const drain = await each(
      'drain',
      (level) => drainService(level, { count: BACKLOG, to: 'console' }),
      tellRate,
    )
    const late = await each(
      'late',
      (level, round) => lateService(level, timetables[round] ?? randomTimetable(PER_SECOND, SECONDS)),
      ({ lateness: { p50, p99 } }) => `p50 ${short(p50)} ms, p99 ${short(p99)} ms`,
    )
    for (const { level } of levels) await level.stop()
    measured.push({
      name,
      levels: levels.map(({ pending, filledInMs, usedMemory }, i) => ({
        ...{ pending, filledInMs, usedMemory },
        ...{ http: http[i] ?? [], drain: drain[i] ?? [], late: late[i] ?? [] },
      })),
    })
  }
  const raw = { backlog: BACKLOG, perSecond: PER_SECOND, seconds: SECONDS, measured }
  return { raw, rows: measured.flatMap(rowsOf), details: [HEADINGS, ...measured.flatMap(detailsOf)] }
}

/**
 * @typedef {object} LevelFigures
 * @property {number} pending
 * @property {number} filledInMs
 * @property {number} usedMemory bytes
 * @property {import('./level.js').HttpPass[]} http
 * @property {import('../drain/backlog.js').Pass[]} drain
 * @property {import('../late/lateness.js').Pass[]} late
 */

/** @param {{ perSecond: number, senderCpuUs: number, redisCpuUs: number, othersCores: number }} pass */
const tellRate = ({ perSecond, senderCpuUs, redisCpuUs, othersCores }) =>
  `${whole(perSecond)}/s, CPU µs each: server ${short(senderCpuUs)}, Redis ${short(redisCpuUs)}; ` +
  `others ${short(othersCores)} cores`

/**
 * @typedef {import('../frame/figures.js').Target} Target
 * @type {{ what: string, unit: string, target: Target, of: (level: LevelFigures) => number[] }[]}
 */
const COMPARED = [
  {
    ...{ what: 'POST /echoAtTime', unit: 'requests/s', target: RATE },
    of: ({ http }) => http.map(({ perSecond }) => perSecond),
  },
  {
    ...{ what: 'a backlog to the console', unit: 'messages/s', target: RATE },
    of: ({ drain }) => drain.map(({ perSecond }) => perSecond),
  },
  {
    ...{ what: 'CPU a message to the console', unit: 'µs each', target: TIME },
    of: ({ drain }) => drain.map(({ senderCpuUs, redisCpuUs }) => senderCpuUs + redisCpuUs),
  },
  {
    ...{ what: `lateness at ${whole(PER_SECOND)}/s, p50`, unit: 'ms', target: TIME },
    of: ({ late }) => late.map(({ lateness }) => lateness.p50),
  },
  {
    ...{ what: `lateness at ${whole(PER_SECOND)}/s, p99`, unit: 'ms', target: TIME },
    of: ({ late }) => late.map(({ lateness }) => lateness.p99),
  },
]

/** @param {{ name: string, levels: LevelFigures[] }} measured */
function rowsOf({ name, levels: [least, ...more] }) {
  const whose = name === 'Carillon' ? '' : `, ${name}`
  return more.flatMap((level) =>
    COMPARED.map(({ what, unit, target, of }) =>
      compared({
        ...{ part: 'growth', what: `${what}, ${whole(level.pending)} pending${whose}`, unit, target },
        figures: of(level),
        beside: {
          name: `${whole(least?.pending ?? 0)} pending`,
          figures: least === undefined ? [] : of(least),
        },
      }),
    ),
  )
}

const HEADINGS = [
  ...['growth', 'pending', 'stored in s', 'Redis, MiB', 'requests/s', 'CPU µs each: server', 'Redis'],
  ...['drained/s', 'CPU µs each: server', 'Redis', 'late p50', 'p99'],
]

/** @param {{ name: string, levels: LevelFigures[] }} measured */
const detailsOf = ({ name, levels }) =>
  levels.map(({ pending, filledInMs, usedMemory, http, drain, late }) => {
    const cpu = (/** @type {{ senderCpuUs: number, redisCpuUs: number }[]} */ passes) => [
      short(median(passes.map(({ senderCpuUs }) => senderCpuUs))),
      short(median(passes.map(({ redisCpuUs }) => redisCpuUs))),
    ]
    return [
      ...[name, whole(pending), short(filledInMs / 1_000), whole(usedMemory / 2 ** 20)],
      ...[whole(median(http.map(({ perSecond }) => perSecond))), ...cpu(http)],
      ...[whole(median(drain.map(({ perSecond }) => perSecond))), ...cpu(drain)],
      short(median(late.map(({ lateness }) => lateness.p50))),
      short(median(late.map(({ lateness }) => lateness.p99))),
    ]
  })
