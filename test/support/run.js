// @ts-check
// What a run of the tests, or of the benchmark, starts ends with it, also when the runner is killed with kill -9.

import { spawn } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The variable with the folder of the run, which marks every process of the run. */
const RUN = 'CARILLON_RUN'

const KEEPER = fileURLToPath(new URL('run-keeper.js', import.meta.url))

/**
 * Makes this process the main one of a run. From then on its temporary files, and those of the processes that it
 * starts, are in a folder of the run. When this process has ended in any way, a keeper kills every process of the run
 * and removes the folder. Idempotent.
 *
 * @returns {string} the folder
 */
export function startRun() {
  const mine = `carillon-run-${process.pid}-`
  const begun = process.env[RUN]
  if (begun !== undefined && basename(begun).startsWith(mine)) return begun
  const folder = mkdtempSync(join(tmpdir(), mine))
  // The keeper is not a process of this run, nor of a run around it.
  const env = { ...process.env, [RUN]: undefined }
  const keeper = spawn(process.execPath, [KEEPER, folder], {
    ...{ env, cwd: '/', detached: true },
    stdio: ['pipe', 'ignore', 'inherit'],
  })
  keeper.unref()
  // The end of this process closes the pipe, which tells the keeper.
  const pipe = /** @type {import('node:net').Socket} */ (keeper.stdin)
  pipe.unref()
  pipe.on('error', () => undefined)
  process.env[RUN] = folder
  process.env.TMPDIR = folder
  return folder
}

/** The environment of a process of the run. @param {NodeJS.ProcessEnv} env its other variables */
export const ofRun = (env) => ({ ...env, [RUN]: process.env[RUN] })
