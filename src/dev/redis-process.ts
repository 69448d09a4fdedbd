import { spawn } from 'node:child_process'
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { withControlConnection } from '../store/control-connection.ts'
import { checkDataFiles } from './append-only.ts'
import { openLocked } from './lock.js'
import { socketPathFor } from './socket-path.ts'
import { checkRoom } from './start-failure.ts'

/** How long one question to a redis-server may take. */
export const ANSWER_TIMEOUT_MS = 1_000
const LOG_KEPT_BYTES = 5_000_000

/** Where the files of one redis-server are. */
export interface InstancePaths {
  readonly dataDir: string
  readonly socketPath: string
  readonly pidPath: string
  readonly logPath: string
}

/** @param dataDir without links, as it identifies the redis-server */
export const instancePathsOf = async (dataDir: string): Promise<InstancePaths> => ({
  dataDir,
  socketPath: await socketPathFor(dataDir),
  pidPath: join(dataDir, 'redis.pid'),
  logPath: join(dataDir, 'redis.log'),
})

type Answer = 'ready' | 'loading' | 'silent' | 'absent'

/** How the redis-server behind a socket answers. @throws {Error} if it is another user's */
export async function probe(socketPath: string): Promise<Answer> {
  try {
    await withControlConnection(socketPath, ANSWER_TIMEOUT_MS, (redis) => redis.ping())
    return 'ready'
  } catch (error) {
    if (!(error instanceof Error)) throw error
    if (error.message.startsWith('LOADING')) return 'loading'
    const code = 'code' in error ? error.code : undefined
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return 'absent'
    if (code === 'EACCES')
      throw new Error(`${socketPath} belongs to another user's redis-server`, { cause: error })
    return 'silent'
  }
}

/**
 * Starts a redis-server unless one keeps redis.pid locked. It runs detached.
 *
 * @returns how it ended, undefined while it runs, and where its lines in the log begin; undefined if one is running
 * @throws {Error} of one line if its files are damaged or cannot be written
 */
export async function startUnlessLocked(binary: string, place: InstancePaths) {
  const guard = openLocked(place.pidPath)
  if (guard === undefined) return undefined
  try {
    await checkRoom(place.dataDir)
    await checkDataFiles(place.dataDir)
  } catch (error) {
    closeSync(guard)
    throw error
  }
  const logFrom = await trimLog(place.logPath)
  const log = openSync(place.logPath, 'a', 0o600)
  try {
    const child = spawn(binary, settings(place), {
      cwd: place.dataDir,
      detached: true, // its own session: a terminal's Ctrl-C is for the service, which then stops it in order
      stdio: ['ignore', log, log, guard],
    })
    let ended: string | undefined
    child.once('error', (error) => {
      ended = error.message
    })
    child.once('exit', (code, signal) => {
      ended = signal ?? `exit code ${code}`
    })
    child.unref()
    ftruncateSync(guard)
    writeSync(guard, `${child.pid ?? ''}\n`, 0)
    return { endedWith: () => ended, logFrom }
  } finally {
    closeSync(log)
    closeSync(guard)
  }
}

function settings({ dataDir }: InstancePaths): string[] {
  return Object.entries({
    port: '0',
    unixsocket: 'redis.sock', // relative to dir, so that no path is too long to listen on
    unixsocketperm: '700',
    dir: dataDir,
    daemonize: 'no',
    supervised: 'no',
    appendonly: 'yes', // the append-only file is the truth; snapshots would only repeat it
    save: '',
    appendfsync: 'always',
    'no-appendfsync-on-rewrite': 'no',
    'aof-load-truncated': 'yes', // a write cut off by a crash was never confirmed to anyone
    'maxmemory-policy': 'noeviction',
  }).flatMap(([name, value]) => [`--${name}`, value])
}

/** A server stopped by a signal holds the data directory and will not answer until it is continued. */
export async function resume({ pidPath }: InstancePaths): Promise<void> {
  const pid = await lockOwner(pidPath)
  if (pid === undefined) return
  try {
    process.kill(pid, 'SIGCONT')
  } catch {
    // gone meanwhile, or another user's: the next turns will tell
  }
}

/** Says in one line that a redis-server does not answer, and how to end it. */
export async function unresponsiveError(
  { pidPath, dataDir }: InstancePaths,
  unresponsiveMs: number,
): Promise<string> {
  const pid = await lockOwner(pidPath)
  return (
    `redis-server${pid === undefined ? '' : ` (pid ${pid})`} on ${dataDir} has not answered for ` +
    `${Math.round(unresponsiveMs / 1000)} s; end it with kill -9, which loses no message, and restart`
  )
}

/** The server that keeps redis.pid locked. A pid that nobody vouches for may be anyone's by now. */
async function lockOwner(pidPath: string): Promise<number | undefined> {
  const guard = openLocked(pidPath)
  if (guard !== undefined) {
    closeSync(guard)
    return undefined
  }
  const pid = Number.parseInt(await readFile(pidPath, 'utf8'), 10)
  return pid > 0 ? pid : undefined
}

/** @returns where in redis.log the next server's lines begin */
async function trimLog(logPath: string): Promise<number> {
  const size = await stat(logPath).then(
    (found) => found.size,
    () => 0,
  )
  if (size <= LOG_KEPT_BYTES) return size
  await rm(`${logPath}.old`, { force: true })
  await rename(logPath, `${logPath}.old`)
  return 0
}
