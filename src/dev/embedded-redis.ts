// A redis-server of our own, for when no REDIS_URL is set.
//
// It runs detached and outlives a service that is killed; the next service takes it over, several share it. What is
// promised is one redis-server per data directory: two would overwrite each other's append-only file.
//
//   absent ── start ──▶ loading ──▶ ready ── SHUTDOWN ──▶ leaving (no socket, still alive) ──▶ absent
//
// Two locks hold that. Services take turns in starting and stopping it (withLock on the data directory). And the
// redis-server itself keeps redis.pid locked while it lives: its descriptor 3 is the locked file, so the kernel
// unlocks it at the death of the process and not a moment before.

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { lstat, mkdir, readFile, realpath, rename, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { withControlConnection } from '../store/control-connection.ts'
import { checkDataFiles, repairTail } from './append-only.ts'
import { openLocked, withLock } from './lock.js'
import { findRedisServer } from './redis-server.js'
import { checkRoom, whyEnded } from './start-failure.ts'

export interface EmbeddedRedis {
  readonly socketPath: string
  /** Makes sure that an instance answers; restarts it if it died. May be called at any time, concurrently. */
  ensureRunning(): Promise<void>
  /** Stops redis-server in order (SHUTDOWN) unless another Carillon service is connected to it. */
  stop(): Promise<void>
}

export interface EmbeddedRedisOptions {
  readonly dataDir: string
  readonly cacheDir: string
  readonly log: (line: string) => void
  /** How long a redis-server may be silent before that is an error. Loading its data is not silence. */
  readonly timeoutMs?: number
}

interface InstancePaths {
  readonly dataDir: string
  readonly socketPath: string
  readonly pidPath: string
  readonly logPath: string
}

const PROBE_EVERY_MS = 20
const ANSWER_TIMEOUT_MS = 1_000
const LONGEST_SOCKET_PATH = 103 // macOS; Linux allows 107
const LOG_KEPT_BYTES = 5_000_000

/**
 * Makes sure that a redis-server runs on `dataDir` and answers, whether it has to be started or already runs.
 *
 * @throws {Error} of one line, if there is none, if it exits during startup (with its last log lines), or if it does
 *   not answer for `timeoutMs`
 */
export async function startEmbeddedRedis(options: EmbeddedRedisOptions): Promise<EmbeddedRedis> {
  await mkdir(options.dataDir, { recursive: true, mode: 0o700 })
  const dataDir = await realpath(options.dataDir)
  const paths: InstancePaths = {
    dataDir,
    socketPath: await socketPathFor(dataDir),
    pidPath: join(dataDir, 'redis.pid'),
    logPath: join(dataDir, 'redis.log'),
  }
  let inFlight: Promise<void> | undefined
  let stopped: Promise<void> | undefined

  const ensureRunning = (): Promise<void> => {
    inFlight ??= withLock(dataDir, () => {
      // A connection lost because of our own stop() must not bring the server back.
      if (stopped) throw new Error('this service has stopped its embedded Redis')
      return ensureStarted(paths, options)
    }).finally(() => {
      inFlight = undefined
    })
    return inFlight
  }
  await ensureRunning()
  return {
    socketPath: paths.socketPath,
    ensureRunning,
    stop: () => {
      stopped ??= withLock(dataDir, () => shutDown(paths, options))
      return stopped
    },
  }
}

/** @returns the socket of the redis-server that runs on `dataDir`; undefined where none answers. It starts none. */
export async function findEmbeddedRedis(dataDir: string): Promise<string | undefined> {
  const place = await realpath(dataDir).catch(() => undefined)
  if (place === undefined) return undefined
  const socketPath = await socketPathFor(place)
  return (await probe(socketPath)) === 'ready' ? socketPath : undefined
}

/**
 * Runs under the lock. Each turn pings the socket, and starts a server if nobody listens and nobody holds redis.pid.
 */
async function ensureStarted(
  place: InstancePaths,
  { cacheDir, log, timeoutMs = 30_000 }: EmbeddedRedisOptions,
): Promise<void> {
  await socketPathFor(place.dataDir) // a cleaner of the temporary folder may have taken the short path away
  let started: { readonly endedWith: () => string | undefined; readonly logFrom: number } | undefined
  let began = Date.now()
  let lastHeard = began
  let said = false
  let repaired = false
  for (;;) {
    const answer = await probe(place.socketPath)
    if (answer === 'ready') return
    if (answer === 'loading') lastHeard = Date.now()
    if (answer === 'absent' && !started) {
      const binary = await findRedisServer({ cacheDir, log })
      started = await startUnlessLocked(binary, place)
      if (started) lastHeard = began = Date.now()
    }
    const ended = started?.endedWith()
    if (started && ended) {
      const done = repaired ? undefined : await repairTail(place.dataDir)
      if (done === undefined) throw new Error(await whyEnded(place, ended, started.logFrom))
      log(done)
      repaired = true
      started = undefined
      continue
    }
    const unresponsiveMs = Date.now() - lastHeard
    if (unresponsiveMs > timeoutMs) throw new Error(await unresponsiveError(place, unresponsiveMs))
    if (!said && Date.now() - began > 1_000) {
      said = true
      log(answer === 'loading' ? 'waiting for Redis to load its data...' : 'waiting for Redis to answer...')
      if (answer !== 'loading' && !started) await resume(place)
    }
    await sleep(PROBE_EVERY_MS)
  }
}

/** Runs under the lock. A server that is gone already is fine; one that does not answer is left alone. */
async function shutDown(
  place: InstancePaths,
  { log, timeoutMs = 30_000 }: EmbeddedRedisOptions,
): Promise<void> {
  if ((await probe(place.socketPath)) !== 'ready') return
  const shared = await withControlConnection(place.socketPath, ANSWER_TIMEOUT_MS, async (redis) => {
    // Redis may see our own service's last connection close a moment after we closed it.
    for (let tries = 0; tries < 10; tries += 1) {
      const clients = await redis.client('LIST')
      if (!/ name=carillon/.test(String(clients))) return false
      await sleep(PROBE_EVERY_MS)
    }
    return true
  })
  if (shared) return log('leaving Redis running: another Carillon service uses it')
  await withControlConnection(place.socketPath, ANSWER_TIMEOUT_MS, (redis) => redis.shutdown()).catch(
    (error: unknown) => {
      // It answers a SHUTDOWN only to refuse it; otherwise the connection ends.
      if (error instanceof Error && error.name === 'ReplyError') throw error
    },
  )
  const asked = Date.now()
  for (let guard = openLocked(place.pidPath); ; guard = openLocked(place.pidPath)) {
    if (guard !== undefined) return closeSync(guard)
    if (Date.now() - asked > timeoutMs) throw new Error(await unresponsiveError(place, timeoutMs))
    await sleep(PROBE_EVERY_MS)
  }
}

async function startUnlessLocked(binary: string, place: InstancePaths) {
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

type Answer = 'ready' | 'loading' | 'silent' | 'absent'

async function probe(socketPath: string): Promise<Answer> {
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
 * The path of `redis.sock` in the data directory, short enough for the operating system. If the path is too long, a
 * private folder of this user in the temporary folder holds a link to the data directory. The socket itself is never
 * there, so services with different temporary folders share one Redis.
 */
async function socketPathFor(dataDir: string): Promise<string> {
  const direct = join(dataDir, 'redis.sock')
  if (Buffer.byteLength(direct) <= LONGEST_SOCKET_PATH) return direct

  const { uid } = userInfo()
  const hash = createHash('sha256').update(dataDir).digest('hex').slice(0, 16)
  const name = `carillon-${uid}-${hash}`
  const temporary = Buffer.byteLength(join(tmpdir(), name, 'data', 'redis.sock')) <= LONGEST_SOCKET_PATH
  const folder = join(temporary ? tmpdir() : '/tmp', name)
  await mkdir(folder, { mode: 0o700 }).catch(ignoreExisting)
  const entry = await lstat(folder)
  // Anybody may write to the temporary folder; one who made ours before us would be handed our messages.
  if (!entry.isDirectory() || entry.uid !== uid || (entry.mode & 0o077) !== 0) {
    throw new Error(`${folder} is not a private folder of this user: remove it, or use a shorter data path`)
  }
  await symlink(dataDir, join(folder, 'data')).catch(ignoreExisting)
  return join(folder, 'data', 'redis.sock')
}

function ignoreExisting(error: unknown): void {
  if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
}

/** A server stopped by a signal holds the data directory and will not answer until it is continued. */
async function resume({ pidPath }: InstancePaths): Promise<void> {
  const pid = await lockOwner(pidPath)
  if (pid === undefined) return
  try {
    process.kill(pid, 'SIGCONT')
  } catch {
    // gone meanwhile, or another user's: the next turns will tell
  }
}

async function unresponsiveError(
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
