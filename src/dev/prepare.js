// Prepares a checkout: installs what package-lock.json lists and builds, each only if it is not done yet.
// npm runs it before `npm start` and `npm test`, possibly in a bare checkout: plain JavaScript without dependencies.
//
// Only complete results count as done: npm writes node_modules/.package-lock.json last, and dist is renamed into place.
// So an interruption at any moment leaves work to do, but no damage.

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { withLock } from './lock.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const CACHE = join(ROOT, '.cache')
const DIST = join(ROOT, 'dist')
const STAMP = '.stamp'
const LINES_SHOWN = 15

async function prepare() {
  const oldest = oldestNode()
  if (process.versions.node.localeCompare(oldest, 'en', { numeric: true }) < 0) {
    say(`Carillon needs Node ${oldest} or newer; this is ${process.versions.node}`)
    process.exitCode = 1
    return
  }
  if (isInstalled() && isBuilt()) return
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(signal, () => endGroup(signal))
  }
  try {
    await withLock(
      ROOT,
      async () => {
        if (!isInstalled()) await install()
        if (!isBuilt()) await build()
      },
      { onWait: () => say('waiting for another process that prepares this checkout...') },
    )
  } catch (error) {
    say(error instanceof Error ? error.message : String(error))
    process.exitCode = 1
  }
}

/** @returns {string} what package.json's `engines` names, without its `>=` */
function oldestNode() {
  return JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).engines.node.slice('>='.length)
}

/** @param {string} line */
function say(line) {
  process.stderr.write(`${line}\n`)
}

// ---- install

/**
 * Whether node_modules holds what package-lock.json lists. Optional packages may be missing, as those of other
 * platforms are. npm ci removes node_modules first and writes its own lockfile last.
 */
function isInstalled() {
  const wanted = packagesOf(join(ROOT, 'package-lock.json'))
  const present = packagesOf(join(ROOT, 'node_modules', '.package-lock.json'))
  if (!wanted || !present) return false
  return Object.entries(wanted).every(([path, { version, integrity, optional, devOptional, link }]) => {
    if (path === '' || link) return true
    const found = present[path]
    if (!found) return optional || devOptional
    if (found.version !== version) return false
    if (found.integrity && integrity && found.integrity !== integrity) return false
    return existsSync(join(ROOT, path, 'package.json'))
  })
}

/**
 * @typedef {{ [flag in 'optional' | 'devOptional' | 'link']?: boolean }} Flags
 * @typedef {Flags & { version?: string, integrity?: string }} Package
 * @param {string} lockfile
 * @returns {Record<string, Package> | undefined} undefined where it is missing or broken
 */
function packagesOf(lockfile) {
  try {
    return JSON.parse(readFileSync(lockfile, 'utf8')).packages
  } catch {
    return undefined
  }
}

async function install() {
  say('installing dependencies (npm ci)...')
  const npm = process.env.npm_execpath
  // Another package manager may have started us, and knows no `ci`.
  const command = npm && basename(npm) === 'npm-cli.js' ? [process.execPath, npm] : ['npm']
  await runChild('npm ci', [...command, 'ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'])
  if (!isInstalled()) throw new Error('npm ci did not install everything that package-lock.json lists')
}

// ---- build

/** Whether dist is what the sources here were last built into, untouched since. */
function isBuilt() {
  try {
    const stamp = JSON.parse(readFileSync(join(DIST, STAMP), 'utf8'))
    return stamp.inputs === inputs() && stamp.outputs === fingerprint([DIST])
  } catch {
    return false
  }
}

function inputs() {
  const files = ['src', 'tsconfig.json', 'package.json', 'package-lock.json']
  return fingerprint(files.map((file) => join(ROOT, file)))
}

async function build() {
  say('building...')
  mkdirSync(CACHE, { recursive: true })
  // This process holds the lock, so these were left by an interrupted build.
  for (const entry of readdirSync(CACHE)) if (entry.startsWith('dist-')) remove(join(CACHE, entry))

  const fresh = join(CACHE, `dist-${process.pid}`)
  const old = join(CACHE, `dist-${process.pid}-old`)
  const before = inputs() // of before: a source that changes during the build makes the next run build again
  const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')
  await runChild('the build', [process.execPath, tsc, '-p', ROOT, '--outDir', fresh])
  writeFileSync(join(fresh, STAMP), JSON.stringify({ inputs: before, outputs: fingerprint([fresh]) }))
  if (existsSync(DIST)) renameSync(DIST, old)
  renameSync(fresh, DIST)
  remove(old)
}

/** @param {string} path */
function remove(path) {
  rmSync(path, { recursive: true, force: true })
}

/**
 * @param {string[]} paths files and folders
 * @returns {string} a hash over the names and contents of all files except the stamp
 */
function fingerprint(paths) {
  const hash = createHash('sha256')
  for (const path of paths) {
    for (const file of filesBelow(path)) {
      const content = readFileSync(file)
      hash.update(`${relative(path, file)}\0${content.length}\0`).update(content)
    }
  }
  return hash.digest('hex')
}

/**
 * @param {string} path
 * @returns {string[]}
 */
function filesBelow(path) {
  /** @type {import('node:fs').Dirent[]} */
  let entries
  try {
    entries = readdirSync(path, { withFileTypes: true })
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOTDIR') return [path]
    throw error
  }
  return entries
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .filter((entry) => entry.name !== STAMP)
    .flatMap((entry) => (entry.isDirectory() ? filesBelow(join(path, entry.name)) : [join(path, entry.name)]))
}

// ---- children
//
// npm and tsc have children of their own. None of them may outlive this process, or the next prepare would work in the
// same folders. So each command runs in a process group of its own, led by this file with --run. The leader ends the
// whole group when its channel to this process closes, which happens even if this process is killed.

/** @type {import('node:child_process').ChildProcess | undefined} */
let child

/**
 * @param {string} what its name in the error
 * @param {string[]} command
 */
async function runChild(what, command) {
  const running = spawn(process.execPath, [fileURLToPath(import.meta.url), '--run', ...command], {
    cwd: ROOT,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  child = running
  let output = ''
  for (const stream of [running.stdout, running.stderr]) {
    stream?.setEncoding('utf8').on('data', (text) => {
      output += text
    })
  }
  const code = await new Promise((settle) => running.once('close', settle))
  child = undefined
  if (code === 0) return
  throw new Error([`${what} failed (exit code ${code}):`, ...ends(output.trimEnd().split('\n'))].join('\n'))
}

/**
 * The first lines and the last: npm and tsc name the cause first, a script that npm runs names it last.
 *
 * @param {string[]} lines
 */
function ends(lines) {
  if (lines.length <= 2 * LINES_SHOWN) return lines
  return [...lines.slice(0, LINES_SHOWN), '...', ...lines.slice(-LINES_SHOWN)]
}

/**
 * Ends the command that runs, if any, and then this process, by the signal it was sent.
 *
 * @param {NodeJS.Signals} signal
 */
function endGroup(signal) {
  process.removeAllListeners(signal)
  const end = () => process.kill(process.pid, signal)
  // exit and not close: only the leader's death is needed, the kernel kills the group as one.
  child?.once('exit', end)
  try {
    if (child?.pid) process.kill(-child.pid, 'SIGKILL')
    else end()
  } catch {
    end() // it has just ended by itself
  }
}

/** @param {string[]} command */
async function runAsGroup([command = '', ...args]) {
  const endAll = () => process.kill(-process.pid, 'SIGKILL')
  process.once('disconnect', endAll)
  // The lock of prepare is free as soon as it dies; this one, once nothing is left of what it ran.
  await withLock(join(ROOT, '--run'), async () => {
    const running = spawn(command, args, { stdio: 'inherit' })
    process.exitCode = await new Promise((settle) => {
      running.once('error', (error) => {
        say(error.message)
        settle(127)
      })
      running.once('close', (code) => settle(code ?? 1))
    })
  })
  process.removeListener('disconnect', endAll)
  process.disconnect?.()
}

if (process.argv[2] === '--run') await runAsGroup(process.argv.slice(3))
else await prepare()
