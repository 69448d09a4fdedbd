// @ts-check
import { busyMs } from './machine.js'
import { cpuMsOf, cpuMsOfEnded } from './processes.js'

/**
 * @template {string} Name
 * @typedef {object} Used
 * @property {Record<Name, number>} cpuMs by process; NaN where the system does not tell
 * @property {number} othersCores how many cores other programs kept busy meanwhile
 * @property {number} ms how long it was
 */

/**
 * @template {string} Name
 * @param {Record<Name, number>} pids (0 for none) of processes that run until it is read
 * @returns {() => Used<Name>} what they have used since, and others: neither them nor the bench itself and those of its
 *   processes that have ended meanwhile, as a load generator has
 */
export function startMeter(pids) {
  const names = /** @type {Name[]} */ (Object.keys(pids))
  const read = () => {
    const { user, system } = process.cpuUsage()
    return {
      cpu: names.map((name) => cpuMsOf(pids[name])),
      own: (user + system) / 1_000 + (cpuMsOfEnded() || 0),
      busy: busyMs(),
      at: performance.now(),
    }
  }
  const before = read()
  return () => {
    const after = read()
    const each = after.cpu.map((ms, i) => ms - (before.cpu[i] ?? Number.NaN))
    const known = each.reduce((sum, ms) => sum + (ms || 0), after.own - before.own)
    const ms = after.at - before.at
    return {
      cpuMs: /** @type {Record<Name, number>} */ (
        Object.fromEntries(names.map((name, i) => [name, each[i]]))
      ),
      othersCores: Math.max(0, after.busy - before.busy - known) / ms,
      ms,
    }
  }
}
