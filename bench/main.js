// @ts-check
// Measures how fast this checkout is, beside what it is to be compared with.
//
//   npm run bench                                       every part
//   npm run bench -- webhook [--rounds n] [--messages n]
//   npm run bench -- webhook --also DIR                 another built checkout too, in turn with this one
//   npm run bench -- webhook --quiet                    leaves out rounds that other programs have disturbed
//
// Prints one table; what it was made from is written to bench/results/. Needs `npm run build` done, which npm sees to.

import { mkdirSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { table } from './frame/figures.js'
import { describeMachine } from './frame/machine.js'
import { webhook } from './webhook/webhook.js'

/** Each measures something, and answers with rows for the table, headings first, and with all that these are from. */
const PARTS = { webhook }

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const RESULTS = fileURLToPath(new URL('results', import.meta.url))

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    messages: { type: 'string', default: '10000' },
    quiet: { type: 'boolean', default: false },
    also: { type: 'string', multiple: true, default: [] },
  },
})

/** @type {(name: string, text: string) => number} */
function wholeNumber(name, text) {
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text)
  throw new Error(`--${name} is ${text}; it must be a whole number from 1 on`)
}

/** @returns {(keyof typeof PARTS)[]} */
function chosenParts() {
  const names = /** @type {(keyof typeof PARTS)[]} */ (Object.keys(PARTS))
  const unknown = positionals.find((name) => !Object.hasOwn(PARTS, name))
  if (unknown !== undefined) throw new Error(`there is no part ${unknown}; there are: ${names.join(', ')}`)
  return positionals.length === 0 ? names : names.filter((name) => positionals.includes(name))
}

async function main() {
  const options = {
    rounds: wholeNumber('rounds', values.rounds),
    messages: wholeNumber('messages', values.messages),
    quiet: values.quiet,
    checkouts: [
      { name: 'Carillon', path: ROOT },
      ...values.also.map((path) => ({ name: `Carillon, ${basename(resolve(path))}`, path: resolve(path) })),
    ],
  }
  const parts = chosenParts()
  const machine = describeMachine()
  const { cpu, cores, memoryGib, system, node, load } = machine
  console.log(`${cores} cores of ${cpu}, ${memoryGib} GiB, ${system}, Node ${node}; load before: ${load}\n`)
  mkdirSync(RESULTS, { recursive: true })
  for (const part of parts) {
    const { raw, rows } = await PARTS[part](options)
    const file = join(RESULTS, `${part}-${machine.at.replaceAll(':', '')}.json`)
    writeFileSync(file, `${JSON.stringify({ part, machine, ...raw }, null, 2)}\n`)
    console.log(
      `${table(rows)}\n\nmedians of ${options.rounds} rounds${options.quiet ? ' at most, undisturbed ones' : ''}; all figures: ${file}\n`,
    )
  }
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(`bench: ${error instanceof Error ? error.message : error}`)
    process.exit(1)
  },
)
