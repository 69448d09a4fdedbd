// @ts-check
// Measures how fast this checkout is, beside what it is to be compared with.
//
//   npm run bench                                       every part, and draws bench/chart.svg
//   npm run bench -- http [batch ...]                   some of them
//   npm run bench -- --rounds n --seconds n --messages n    rounds of each, seconds of load, webhooks in a round
//   npm run bench -- http --also DIR                    another built checkout too, in turn with this one
//   npm run bench -- http --quiet                       leaves out rounds that other programs have disturbed
//   npm run bench -- growth --huge                      with 10 million messages pending, too
//   npm run bench -- --chart                            measures nothing, and draws the newest results of each part
//
// Prints one table over all parts; what it was made from is written to bench/results/. Needs `npm run build` done,
// which npm sees to.

import { mkdirSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { batch } from './batch/batch.js'
import { drain } from './drain/drain.js'
import { events } from './events/events.js'
import { drawNewest } from './frame/chart.js'
import { table, tableOf } from './frame/figures.js'
import { describeMachine, machineText } from './frame/machine.js'
import { growth } from './growth/growth.js'
import { herd } from './herd/herd.js'
import { http } from './http/http.js'
import { late } from './late/late.js'
import { memory } from './memory/memory.js'
import { operations } from './operations/operations.js'
import { servers } from './servers/servers.js'
import { webhook } from './webhook/webhook.js'

/**
 * @typedef {object} Options
 * @property {number} rounds
 * @property {number} seconds of load in a round, where a part has it go on for a time
 * @property {number} messages in a round, where a part has a number of them
 * @property {boolean} quiet
 * @property {boolean} huge with the level of growth that takes minutes to store
 * @property {{ name: string, path: string }[]} checkouts this one first
 *
 * @typedef {object} Measured
 * @property {object} raw all that the rows are from
 * @property {import('./frame/figures.js').Row[]} rows
 * @property {string[][]} [details] a table of the part's own, headings first
 */

/**
 * Each measures something.
 * @satisfies {Record<string, (options: Options) => Promise<Measured>>}
 */
const PARTS = { http, batch, drain, late, memory, servers, growth, herd, webhook, operations, events }

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const RESULTS = fileURLToPath(new URL('results', import.meta.url))
const CHART = fileURLToPath(new URL('chart.svg', import.meta.url))

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    messages: { type: 'string', default: '10000' },
    quiet: { type: 'boolean', default: false },
    huge: { type: 'boolean', default: false },
    chart: { type: 'boolean', default: false },
    also: { type: 'string', multiple: true, default: [] },
  },
})

/** @type {(name: string, text: string) => number} */
function wholeNumber(name, text) {
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text)
  throw new Error(`--${name} is ${text}; it must be a whole number from 1 on`)
}

/** @typedef {keyof typeof PARTS} Part */
const ALL = /** @type {Part[]} */ (Object.keys(PARTS))

/** @returns {Part[]} */
function chosenParts() {
  const unknown = positionals.find((name) => !Object.hasOwn(PARTS, name))
  if (unknown !== undefined) throw new Error(`there is no part ${unknown}; there are: ${ALL.join(', ')}`)
  return positionals.length === 0 ? ALL : ALL.filter((name) => positionals.includes(name))
}

async function main() {
  const options = {
    rounds: wholeNumber('rounds', values.rounds),
    seconds: wholeNumber('seconds', values.seconds),
    messages: wholeNumber('messages', values.messages),
    quiet: values.quiet,
    huge: values.huge,
    checkouts: [
      { name: 'Carillon', path: ROOT },
      ...values.also.map((path) => ({ name: `Carillon, ${basename(resolve(path))}`, path: resolve(path) })),
    ],
  }
  const parts = chosenParts()
  mkdirSync(RESULTS, { recursive: true })
  if (!values.chart || positionals.length > 0) await measure(parts, options)
  if (values.chart || parts.length === ALL.length) {
    drawNewest(ALL, RESULTS, CHART)
    console.log(`drawn: ${CHART}`)
  }
}

/** @type {(parts: Part[], options: Options) => Promise<void>} */
async function measure(parts, options) {
  const machine = describeMachine()
  console.log(`${machineText(machine)}, Node ${machine.node}; load before: ${machine.load}\n`)
  const rows = []
  for (const part of parts) {
    /** @type {Measured} */
    const measured = await PARTS[part](options)
    rows.push(...measured.rows)
    const file = join(RESULTS, `${part}-${machine.at.replaceAll(':', '')}.json`)
    const all = { part, machine, options, rows: measured.rows, raw: measured.raw }
    writeFileSync(file, `${JSON.stringify(all, null, 2)}\n`)
    if (measured.details) console.log(`${table(measured.details)}\n`)
  }
  const undisturbed = options.quiet ? ' at most, undisturbed ones' : ''
  console.log(
    `${tableOf(rows)}\n\nmedians of ${options.rounds} rounds${undisturbed}, growth of 3 at most, herd of 2, ` +
      `memory and servers of 1; all figures: ${RESULTS}\n`,
  )
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(`bench: ${error instanceof Error ? error.message : error}`)
    process.exit(1)
  },
)
