// @ts-check
// Holds promises at full size, which the tests hold at a reduced one. It takes minutes, and ends with 1 if one is
// broken.
//
//   npm run soak                     every part
//   npm run soak -- pauses           some of them
//   npm run soak -- --messages n     messages in each part (100,000)

import { parseArgs } from 'node:util'
import { pauses } from './pauses.js'

/**
 * Each tries something, and tells what it has seen: a promise, whether it holds, and the figure.
 *
 * @typedef {{ promise: string, holds: boolean, seen: string }} Verdict
 * @satisfies {Record<string, (options: { messages: number }) => Promise<Verdict[]>>}
 */
const PARTS = { pauses }

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { messages: { type: 'string', default: '100000' } },
})
const names = positionals.length === 0 ? Object.keys(PARTS) : positionals
for (const name of names) {
  const part = new Map(Object.entries(PARTS)).get(name)
  if (part === undefined)
    throw new Error(`there is no part ${name}; there are ${Object.keys(PARTS).join(', ')}`)
  for (const { promise, holds, seen } of await part({ messages: Number(values.messages) })) {
    console.log(`${holds ? 'holds ' : 'BROKEN'}  ${name}: ${promise}: ${seen}`)
    if (!holds) process.exitCode = 1
  }
}
