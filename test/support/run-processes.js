// @ts-check
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/**
 * The processes of a run that have not ended: those with its folder in their environment, which they inherit, and
 * those that work inside the folder, such as redis-server, which overwrites its environment with its title.
 * Only on Linux; elsewhere there are none.
 *
 * @param {string} folder the folder of the run
 * @returns {number[]} their pids, without the process that asks
 */
export function processesOfRun(folder) {
  if (folder === '' || process.platform !== 'linux') return []
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid && (isMarked(pid, folder) || worksIn(pid, folder)))
}

/** @type {(pid: number, folder: string) => boolean} */
function isMarked(pid, folder) {
  try {
    const run = /(?:^|\0)CARILLON_RUN=([^\0]*)/.exec(readFileSync(`/proc/${pid}/environ`, 'utf8'))?.[1]
    // A run that a test starts has its folder inside.
    return `${run}/`.startsWith(`${folder}/`)
  } catch {
    return false // ended, or of another user
  }
}

/** @type {(pid: number, folder: string) => boolean} */
function worksIn(pid, folder) {
  try {
    return `${readlinkSync(`/proc/${pid}/cwd`)}/`.startsWith(`${folder}/`)
  } catch {
    return false // ended, or of another user
  }
}
