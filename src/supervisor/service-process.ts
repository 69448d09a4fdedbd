import cluster from 'node:cluster'
import { fileURLToPath } from 'node:url'
import type { Logger } from 'pino'
import { createConsoleSender } from '../destinations/console/console.ts'
import { createStdout } from '../destinations/console/stdout.ts'
import { type EmbeddedRedis, startEmbeddedRedis } from '../dev/embedded-redis.ts'
import { sleep } from '../runtime/sleep.ts'
import { type Config, readConfig, redisTargetOf } from '../server/config.ts'
import { logLibraryWarnings } from '../server/library-warnings.ts'
import { createLogger, createTerminalFormat } from '../server/logger.ts'
import { type Server, startServer } from '../server/server.ts'
import { trapSignals } from '../server/signals.ts'
import { stopOnUnexpectedErrors } from '../server/unexpected-errors.ts'
import type { RedisTarget } from '../store/redis-url.ts'
import { runServerProcess } from './server-process.ts'
import { startSupervisor } from './supervisor.ts'

/** How long a stop waits for a start that is still under way, and for the reader of the last lines. */
const START_ENDS_WITHIN_MS = 3_000
const LAST_LINES_MS = 500
const RESTART_REDIS_EVERY_MS = 1_000

const never = new AbortController().signal
const stdout = createStdout()

/** Everything given to standard output is written, or its reader does not read. */
const drained = () => Promise.race([stdout.drain(), sleep(LAST_LINES_MS, never)])

/** Ends the process with one plain line on standard error. */
async function refuse(error: unknown): Promise<never> {
  await drained()
  process.stderr.write(`carillon: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}

async function run(config: Config): Promise<void> {
  const format = process.stdout.isTTY ? await createTerminalFormat() : undefined
  const logger = createLogger(stdout, config.LOG_LEVEL, format)
  logLibraryWarnings(logger)
  const stopping = new AbortController()
  let embedded: EmbeddedRedis | undefined
  let bringRedisBack: () => Promise<void> = async () => undefined
  let server: Pick<Server, 'stop'> | undefined

  const start = async () => {
    if (config.REDIS_URL === undefined) {
      embedded = await startEmbeddedRedis({
        dataDir: fileURLToPath(new URL('../../data/', import.meta.url)),
        cacheDir: fileURLToPath(new URL('../../.cache/', import.meta.url)),
        log: (line) => logger.info(line),
      })
      bringRedisBack = reviverOf(embedded, logger, stopping.signal)
    }
    if (stopping.signal.aborted) return
    const target: RedisTarget =
      embedded === undefined
        ? redisTargetOf(config)
        : { kind: 'socket', path: embedded.socketPath, db: 0, tls: false }
    const shared = { config, target, logger, onDisconnected: () => void bringRedisBack() }
    if (config.PROCESSES > 1) {
      const forTerminal = format !== undefined
      const { signal } = stopping
      const processes = startSupervisor({ ...shared, stdout, forTerminal, onFatal: fail, stopping: signal })
      server = processes
      return processes.listening
    }
    const console = createConsoleSender(stdout, { format, onBroken: fail })
    server = await startServer({ ...shared, console, onUnsupported: fail })
  }

  let stopped: Promise<void> | undefined
  const stop = (graceMs: number) => {
    stopped ??= stopAll(graceMs)
    return stopped
  }
  const stopAll = async (graceMs: number) => {
    stopping.abort()
    await Promise.race([started.catch(() => undefined), sleep(START_ENDS_WITHIN_MS, never)])
    await server?.stop({ graceMs })
    await embedded?.stop()
    await drained()
  }

  /** Stops in order when it cannot continue, as others do. */
  function fail(error: Error): void {
    if (stopping.signal.aborted) return
    stop(config.SHUTDOWN_GRACE_MS).then(() => refuse(explain(error, config)), refuse)
  }

  trapSignals(process.env.npm_lifecycle_event !== undefined, (signal) => {
    logger.info(`${signal}: stopping`)
    // A stop that has begun already decides the exit code.
    if (stopped !== undefined) return
    stop(config.SHUTDOWN_GRACE_MS).then(() => process.exit(), refuse)
  })
  stopOnUnexpectedErrors({
    logger,
    graceMs: config.SHUTDOWN_GRACE_MS,
    stop: () => stop(config.SHUTDOWN_GRACE_MS),
  })
  const started = start()
  try {
    await started
  } catch (error) {
    // Nothing else than the signal that stopped the start decides how it ends.
    if (stopping.signal.aborted) return
    await embedded?.stop()
    throw explain(error, config)
  }
}

/** @returns starts an embedded Redis that died again, until it runs; may be called concurrently */
function reviverOf(redis: EmbeddedRedis, logger: Logger, stopping: AbortSignal): () => Promise<void> {
  let lastError: unknown
  return async () => {
    while (!stopping.aborted) {
      try {
        return await redis.ensureRunning()
      } catch (error) {
        // Several servers may have missed it, and then share the attempt.
        if (error !== lastError) logger.error(error instanceof Error ? error.message : String(error))
        lastError = error
        await sleep(RESTART_REDIS_EVERY_MS, stopping)
      }
    }
  }
}

/** An address that cannot be listened on is a setting to change. */
function explain(error: unknown, { HOST, PORT }: Config): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'EADDRINUSE') {
    return new Error(`PORT is ${PORT}, which another program on ${HOST} is using; set another PORT`)
  }
  if (code === 'EACCES') {
    return new Error(`PORT is ${PORT}, which this user may not listen on; set one above 1023`)
  }
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return new Error(`HOST is "${HOST}", which is not an address of this machine`)
  }
  return error
}

/** Runs this process for as long as it lives: a server, the primary of several, or one of those. */
export async function runServiceProcess(): Promise<void> {
  if (!cluster.isPrimary) return runServerProcess()
  try {
    await run(readConfig(process.env))
  } catch (error) {
    await refuse(error)
  }
}
