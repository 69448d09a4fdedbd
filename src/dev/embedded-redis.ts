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

import { closeSync } from 'node:fs'
import { mkdir, realpath } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { withControlConnection } from '../store/control-connection.ts'
import { repairTail } from './append-only.ts'
import { openLocked, withLock } from './lock.js'
import {
  ANSWER_TIMEOUT_MS,
  type InstancePaths,
  instancePathsOf,
  probe,
  resume,
  startUnlessLocked,
  unresponsiveError,
} from './redis-process.ts'
import { findRedisServer } from './redis-server.js'
import { socketPathFor } from './socket-path.ts'
import { whyEnded } from './start-failure.ts'

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
  /** How long a redis-server may not respond before that is an error; loading its data does not count. */
  readonly timeoutMs?: number
}

const PROBE_EVERY_MS = 20

/**
 * Makes sure that a redis-server runs on `dataDir` and answers, whether it has to be started or already runs.
 *
 * @throws {Error} of one line, if there is none, if it exits during startup (with its last log lines), or if it does
 *   not answer for `timeoutMs`
 */
export async function startEmbeddedRedis(options: EmbeddedRedisOptions): Promise<EmbeddedRedis> {
  await mkdir(options.dataDir, { recursive: true, mode: 0o700 })
  const dataDir = await realpath(options.dataDir)
  const paths = await instancePathsOf(dataDir)
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
