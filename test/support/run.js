// @ts-check
// What a run of the tests, or of the benchmark, starts ends with it, also when the runner is killed with kill -9.

import { spawn } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Holds the folder of the run in the environment of every process of the run, and so marks them. */
const RUN = 'CARILLON_RUN'

const KEEPER = fileURLToPath(new URL('run-keeper.js', import.meta.url))

/**
 * Makes this process the one that a run begins and ends with. From then on its temporary files, and those of the
 * processes that it starts, lie in a folder of the run's own. When this process has ended, however it did, a keeper
 * kills every process of the run and removes the folder. Idempotent.
 *
 * @returns {string} the folder
 */
export function startRun() {
  const mine = `carillon-run-${process.pid}-`
  const begun = process.env[RUN]
  if (begun !== undefined && basename(begun).startsWith(mine)) return begun
  const folder = mkdtempSync(join(tmpdir(), mine))
  // The keeper is no process of the run, nor of one that this run is a part of.
  const env = { ...process.env, [RUN]: undefined }
  const keeper = spawn(process.execPath, [KEEPER, folder], {
    ...{ env, cwd: '/', detached: true },
    stdio: ['pipe', 'ignore', 'inherit'],
  })
  keeper.unref()
  // The end of this process closes the pipe: that is how the keeper hears of it.
  const pipe = /** @type {import('node:net').Socket} */ (keeper.stdin)
  pipe.unref()
  pipe.on('error', () => undefined)
  process.env[RUN] = folder
  process.env.TMPDIR = folder
  return folder
}

/** The environment of a process of the run. @param {NodeJS.ProcessEnv} env what else it is to have */
export const ofRun = (env) => ({ ...env, [RUN]: process.env[RUN] })
