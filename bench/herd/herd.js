// @ts-check
import { alone, median, short, whole } from '../frame/figures.js'
import { inTurn } from '../frame/rounds.js'
import { stampede, startServers } from './stampede.js'
import { storeWideBatch } from './wide-batch.js'

/** @typedef {import('./stampede.js').Pass & { wide: import('./wide-batch.js').WidePass }} Pass */

const SERVERS = 4
const MESSAGES = 1_000_000
/** In the round that is not counted. */
const MESSAGES_FIRST = 50_000
/** One takes so long that more would not be worth it. */
const MOST_ROUNDS = 2

/**
 * What happens when a million messages are due in the same millisecond and four servers with one Redis deliver them,
 * while others use these servers: whether each delivers its share, and what the others notice; and the same of a batch
 * of 10,000 messages of which each has tags and a host or queue of its own.
 *
 * @param {import('../main.js').Options} options
 */
export async function herd({ rounds, quiet, checkouts }) {
  const subjects = []
  for (const { name, path } of checkouts) {
    const all = await startServers(path, SERVERS)
    const run = async (/** @type {number} */ round) => {
      const wide = await storeWideBatch(all)
      return { ...(await stampede(all, round === 0 ? MESSAGES_FIRST : MESSAGES)), wide }
    }
    subjects.push({ name, all, run })
  }
  const order = { rounds: Math.min(rounds, MOST_ROUNDS), quiet, title: 'herd', tell }
  const results = await inTurn(subjects, order)
  for (const { all } of subjects) await all.stop()

  const named = subjects.map(({ name }, i) => ({ name, passes: results[i] ?? [] }))
  const raw = { servers: SERVERS, count: MESSAGES, redis: subjects[0]?.all.redis.version, subjects: named }
  return { raw, rows: named.flatMap(rowsOf), details: [HEADINGS, ...named.map(detailsOf)] }
}

/** @param {{ name: string, passes: Pass[] }} subject */
function rowsOf({ name, passes }) {
  const whose = name === 'Carillon' ? '' : `, ${name}`
  const figures = (/** @type {(pass: Pass) => number} */ figure) => passes.map(figure)
  /**
   * @param {string} what
   * @param {string} unit
   * @param {(pass: Pass) => number} figure
   * @param {import('../frame/figures.js').Target} [target]
   */
  const row = (what, unit, figure, target) =>
    alone({
      ...{ part: 'herd', what: `${what}${whose}`, unit, figures: figures(figure) },
      ...(target === undefined ? {} : { target }),
    })
  return [
    row('the slowest Redis call', 'ms', ({ slowestMs }) => slowestMs, { atMost: 10 }),
    row("others' requests, p99", 'ms', ({ probed }) => probed.requests.p99, { atMost: 50 }),
    row("others' requests that failed", 'requests', ({ probed }) => probed.failures.length, { atMost: 0 }),
    row('messages that came twice', 'messages', ({ duplicates }) => duplicates, { atMost: 0 }),
    row('the smallest share of a server', 'of a fair share', ({ shares }) => Math.min(...shares)),
    row('wide batch: the slowest Redis call', 'ms', ({ wide }) => wide.slowestMs, { atMost: 10 }),
    row("wide batch: others' requests, p99", 'ms', ({ wide }) => wide.probed.requests.p99, { atMost: 50 }),
    row('wide batch: messages not confirmed', 'messages', ({ wide }) => wide.unstored, { atMost: 0 }),
    row('wide batch: until it is answered', 'ms', ({ wide }) => wide.tookMs),
    row(`${whole(MESSAGES)} by ${SERVERS} servers`, 'messages/s', ({ perSecond }) => perSecond),
  ]
}

/** @param {Pass} pass */
const tell = ({ perSecond, shares, slowestMs, slowCalls, probed, othersCores, wide }) =>
  `${whole(perSecond)}/s, shares ${shares.map(short).join(' ')}, slowest call ${short(slowestMs)} ms, ` +
  `${slowCalls} over 10 ms, others' p99 ${short(probed.requests.p99)} ms, ` +
  `${probed.failures.length} failed ${probed.failures[0] ?? ''}; others ${short(othersCores)} cores; ` +
  `wide batch ${whole(wide.tookMs)} ms, slowest call ${short(wide.slowestMs)} ms, ${wide.unstored} not confirmed, ` +
  `others' p99 ${short(wide.probed.requests.p99)} ms`

const HEADINGS = [
  ...['herd', 'from', 'messages/s', 'calls over 10 ms', 'slowest, ms', 'GET p50', 'p99', 'POST p50', 'p99'],
  ...['PING p50', 'p99', 'most', 'CPU µs each: servers', 'Redis', 'others, cores'],
]

/** @param {{ name: string, passes: Pass[] }} subject */
function detailsOf({ name, passes }) {
  const middle = (/** @type {(pass: Pass) => number} */ figure) => short(median(passes.map(figure)))
  return [
    ...[`${SERVERS} servers`, name, whole(median(passes.map(({ perSecond }) => perSecond)))],
    ...[middle(({ slowCalls }) => slowCalls), middle(({ slowestMs }) => slowestMs)],
    ...[middle(({ probed }) => probed.looks.p50), middle(({ probed }) => probed.looks.p99)],
    ...[middle(({ probed }) => probed.adds.p50), middle(({ probed }) => probed.adds.p99)],
    ...[middle(({ probed }) => probed.pings.p50), middle(({ probed }) => probed.pings.p99)],
    middle(({ probed }) => probed.pings.most),
    ...[middle(({ serversCpuUs }) => serversCpuUs), middle(({ redisCpuUs }) => redisCpuUs)],
    middle(({ othersCores }) => othersCores),
  ]
}
