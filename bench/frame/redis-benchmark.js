// @ts-check
import { cpuMsOfEnded, start, within } from './processes.js'
import { findRedisBenchmark } from './redis.js'

const END_WITHIN_MS = 120_000

/**
 * @typedef {object} Hammer
 * @property {number} perSecond
 * @property {number} cpuMs of redis-benchmark itself
 */

/**
 * Has redis-benchmark send a command again and again, pipelined.
 *
 * @param {number} port
 * @param {{ count: number, clients: number, pipeline: number }} load
 * @param {readonly string[]} command of which each __rand_int__ is another number of 12 digits each time
 * @returns {Promise<Hammer>}
 * @throws {Error} one line where there is no redis-benchmark
 */
export async function hammer(port, { count, clients, pipeline }, command) {
  const file = await findRedisBenchmark()
  if (file === undefined) throw new Error('redis-benchmark is missing; it comes with redis-server')
  const load = ['-n', String(count), '-c', String(clients), '-P', String(pipeline), '-r', '100000000000']
  const cpuBefore = cpuMsOfEnded()
  const child = start(file, ['-h', '127.0.0.1', '-p', String(port), '--csv', ...load, ...command])
  let text = ''
  child.stdout?.setEncoding('utf8').on('data', (chunk) => {
    text += chunk
  })
  await within(END_WITHIN_MS, 'redis-benchmark', new Promise((resolve) => child.once('close', resolve)))
  // The name of the test, which is the command and may hold anything, comes first; the rate after it.
  const perSecond = Number(/","(\d+\.\d+)"(,"[\d.]+")*\s*$/.exec(text)?.[1])
  if (!(perSecond > 0)) throw new Error(`redis-benchmark wrote no rate: ${text.slice(-200)}`)
  return { perSecond, cpuMs: cpuMsOfEnded() - cpuBefore }
}
