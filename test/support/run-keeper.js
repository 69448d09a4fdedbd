// @ts-check
// The keeper of a run: waits until the runner has ended, then kills what is left of the run and removes its folder.
// It is started by run.js, and holds the other end of a pipe that only the runner has.

import { rmSync } from 'node:fs'
import { argv, stdin } from 'node:process'
import { processesOfRun } from './run-processes.js'

const LOOK_EVERY_MS = 20
/** A process that the kernel cannot end, as while a disk hangs, is left alone. */
const GIVE_UP_AFTER_MS = 20_000

const [, , folder = ''] = argv

stdin.on('error', () => undefined)
stdin.on('close', end)
stdin.resume()

/** The found processes may have started others, so it repeats until there are none. */
async function end() {
  const giveUpAt = performance.now() + GIVE_UP_AFTER_MS
  for (;;) {
    const left = processesOfRun(folder)
    if (left.length === 0 || performance.now() > giveUpAt) break
    for (const pid of left) kill(pid)
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
}

/** @param {number} pid */
function kill(pid) {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // ended meanwhile
  }
}
