// @ts-check
// The processes of a benchmark. All are children of this one, and none outlives it, however it ends.

import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ofRun, startRun } from '../../test/support/run.js'

/** @typedef {import('node:child_process').ChildProcess} ChildProcess */

/** @type {Set<ChildProcess>} */
const running = new Set()
/** @type {string[]} */
const temporary = []
const END_WITHIN_MS = 15_000
/** As docs/operate/deploy.md has it for throughput, for every process of Node's that is measured, ours or another's. */
export const NODE_FLAGS = ['--max-semi-space-size=64']
/** What Linux counts the CPU time of processes in. */
const TICKS_PER_SECOND = 100

startRun()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
  for (const folder of temporary)
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
})
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  process.once(signal, () => process.exit(1))
}

/** A folder that is removed when the bench ends, however it does. */
export async function temporaryFolder() {
  const folder = await mkdtemp(join(tmpdir(), 'carillon-bench-'))
  temporary.push(folder)
  return folder
}

/**
 * @template {ChildProcess} C
 * @param {C} child
 * @returns {C}
 */
function own(child) {
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

/** @typedef {number | import('node:stream').Writable} Output a descriptor or what has one, for a process to write to */

/**
 * Runs a program. What it says on standard output is to be read by the caller.
 *
 * @param {string} file
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: Record<string, string | undefined>, silent?: boolean, stdout?: Output }} [options]
 *   `stdout` is where it goes instead
 */
export function start(file, args, { cwd, env = process.env, silent = false, stdout: to } = {}) {
  const stdout = silent ? 'ignore' : (to ?? 'pipe')
  return own(
    spawn(file, args, { env: ofRun(env), stdio: ['ignore', stdout, 'inherit'], ...(cwd ? { cwd } : {}) }),
  )
}

/**
 * A process of the bench's own: it is told one thing at a time, and answers each with one message.
 *
 * @param {URL} module
 * @param {readonly string[]} args
 * @param {{ stdout?: Output, reads?: boolean }} [options] whether it reads what is written to `input`; where its
 *   standard output goes, if not where the bench's goes
 */
export function startHelper(module, args = [], { stdout = process.stdout, reads = false } = {}) {
  const stdin = reads ? 'pipe' : 'ignore'
  const child = own(fork(module, args, { execArgv: NODE_FLAGS, stdio: [stdin, stdout, 'inherit', 'ipc'] }))
  return {
    pid: pidOf(child),
    /** for other processes to write to; null unless it reads */
    input: child.stdin,
    /**
     * @template T
     * @param {object} request
     * @param {number} withinMs
     * @returns {Promise<T>} what the module answers to such a request
     */
    async ask(request, withinMs) {
      const answered = once(child, 'message')
      child.send(request)
      const [message] = await within(withinMs, `${module.pathname} to answer`, alive(child, answered))
      return message
    },
    stop: () => end(child),
  }
}

/**
 * @template T
 * @param {ChildProcess} child
 * @param {Promise<T>} promise
 * @returns {Promise<T>} rejects when the child ends before
 */
export async function alive(child, promise) {
  const answered = new AbortController()
  const ended = once(child, 'exit', answered).then(([code, signal]) => {
    throw new Error(`${child.spawnargs.join(' ')} ended with ${code ?? signal}`)
  })
  try {
    return await Promise.race([promise, ended])
  } finally {
    answered.abort()
    ended.catch(() => undefined)
  }
}

/**
 * @param {ChildProcess} child
 * @param {NodeJS.Signals} [signal]
 */
export async function end(child, signal = 'SIGTERM') {
  if (!running.has(child)) return
  const gone = once(child, 'exit')
  child.kill(signal)
  await within(END_WITHIN_MS, 'a child to end', gone).catch(() => child.kill('SIGKILL'))
}

/**
 * @template T
 * @param {number} ms
 * @param {string} what is waited for
 * @param {Promise<T>} promise
 * @returns {Promise<T>}
 */
export async function within(ms, what, promise) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer
  const late = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms)
  })
  try {
    return await /** @type {Promise<T>} */ (Promise.race([promise, late]))
  } finally {
    clearTimeout(timer)
  }
}

/** @param {ChildProcess} child */
export function pidOf(child) {
  if (child.pid === undefined) throw new Error(`${child.spawnfile} could not be started`)
  return child.pid
}

/**
 * @param {number} pid
 * @returns {number} ms of CPU that it has used so far, in steps of 10; NaN where the system does not tell
 */
export const cpuMsOf = (pid) => cpuMs(String(pid), 11)

/**
 * ms of CPU that children of the bench which have ended had used, in steps of 10; NaN where the system does not tell
 */
export const cpuMsOfEnded = () => cpuMs('self', 13)

/** @type {(pid: string, field: number) => number} the field of user time, before that of system time; see proc(5) */
function cpuMs(pid, field) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ')
    return ((Number(fields[field]) + Number(fields[field + 1])) * 1_000) / TICKS_PER_SECOND
  } catch {
    return Number.NaN
  }
}
