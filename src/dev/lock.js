// Locks between processes. The kernel releases them when their holder dies, for any reason.
// Plain JavaScript without dependencies: prepare.js uses it before anything is installed.

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, constants, openSync, realpathSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const RETRY_MS = 50

/** open(2) of macOS and the BSDs: lock the file while opening it. Node has no name for it. */
const O_EXLOCK = 0x20

/** Where sockets have names outside the file system, a bound name is a lock that no crash can leave behind. */
const HAS_SOCKET_NAMES = ['linux', 'android', 'win32'].includes(process.platform)

/**
 * Runs `fn` while no other process, and no other call in this one, runs one for the same path.
 * Not reentrant: `fn` must not ask for the same path again.
 *
 * @template T
 * @param {string} path what is protected, usually a directory; it need not exist and is not written to
 * @param {() => T | Promise<T>} fn
 * @param {{ onWait?: () => void }} [options] `onWait` is called once if another process holds the lock
 * @returns {Promise<T>} what `fn` returned, once the lock is free again
 */
export async function withLock(path, fn, { onWait } = {}) {
  const name = `carillon-${createHash('sha256').update(realPath(path)).digest('hex').slice(0, 32)}`
  let release = await tryLock(name)
  if (!release) onWait?.()
  while (!release) {
    await new Promise((wake) => setTimeout(wake, RETRY_MS))
    release = await tryLock(name)
  }
  try {
    return await fn()
  } finally {
    await release()
  }
}

/**
 * Opens a file and locks it. Given to a child as one of its stdio, the lock stays with that child (and
 * with children it leaves behind) until the last of them has ended, however this process ends.
 *
 * @param {string} path made if it does not exist
 * @returns {number | undefined} the descriptor to pass on and close; undefined where the file is locked already
 * @throws where the file cannot be opened, or the system has no way to lock it
 */
export function openLocked(path) {
  if (process.platform !== 'linux') return openExclusively(path)
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600)
  // flock(1) locks the open file it inherits as descriptor 3, which is ours: the lock outlives flock itself.
  const { status, error } = spawnSync('flock', ['-n', '3'], { stdio: ['ignore', 'ignore', 'ignore', fd] })
  if (status === 0) return fd
  closeSync(fd)
  if (error) throw new Error(`cannot lock ${path}: flock (util-linux) is not available`, { cause: error })
  return undefined
}

/** @param {string} path */
function realPath(path) {
  try {
    return realpathSync(path)
  } catch {
    return resolve(path)
  }
}

/**
 * @param {string} name
 * @returns {Promise<(() => Promise<void>) | undefined>} releases the lock; undefined if another process has it
 */
async function tryLock(name) {
  if (HAS_SOCKET_NAMES) return listenOn(process.platform === 'win32' ? `\\\\.\\pipe\\${name}` : `\0${name}`)
  const fd = openExclusively(join(tmpdir(), `${name}.lock`))
  return fd === undefined ? undefined : async () => closeSync(fd)
}

/**
 * @param {string} path
 * @returns {Promise<(() => Promise<void>) | undefined>}
 */
function listenOn(path) {
  return new Promise((settle, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', (/** @type {NodeJS.ErrnoException} */ error) =>
      error.code === 'EADDRINUSE' ? settle(undefined) : reject(error),
    )
    // exclusive: a worker of node:cluster would otherwise share its primary's socket, and so the lock.
    server.listen({ path, exclusive: true }, () => {
      server.unref()
      settle(() => new Promise((closed) => server.close(() => closed())))
    })
  })
}

/**
 * @param {string} path
 * @returns {number | undefined}
 */
function openExclusively(path) {
  try {
    return openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK | O_EXLOCK, 0o600)
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EAGAIN') return undefined
    throw error
  }
}
