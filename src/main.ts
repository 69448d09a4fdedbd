import { fileURLToPath } from 'node:url'
import { type Config, ConfigError, readConfig } from './config.ts'
import { createConsole } from './deliver/console.ts'
import { createStdout } from './deliver/stdout.ts'
import { createLogger, createTerminalFormat } from './logger.ts'
import { startEmbeddedRedis } from './redis/embedded.ts'
import { parseRedisUrl } from './redis/url.ts'
import { type Server, startServer } from './server.ts'

/** npm passes on a terminal's Ctrl-C that the process has had already: the same signal this soon is one. */
const SAME_KEYSTROKE_MS = 100
const LAST_LINES_MS = 500

const stdout = createStdout()

/** What was handed to standard output is out, or its reader is not reading. */
const drained = () =>
  Promise.race([stdout.drain(), new Promise((resolve) => setTimeout(resolve, LAST_LINES_MS))])

/** Ends the process with one plain line on standard error. */
async function refuse(error: unknown): Promise<never> {
  await drained()
  process.stderr.write(`carillon: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}

async function run(config: Config): Promise<void> {
  const format = process.stdout.isTTY ? await createTerminalFormat() : undefined
  const logger = createLogger(stdout, config.LOG_LEVEL, format)

  const embedded =
    config.REDIS_URL === undefined
      ? await startEmbeddedRedis({
          dataDir: fileURLToPath(new URL('../data/', import.meta.url)),
          cacheDir: fileURLToPath(new URL('../.cache/', import.meta.url)),
          log: (line) => logger.info(line),
        })
      : undefined

  let server: Server | undefined
  const stop = async (graceMs: number) => {
    await server?.stop({ graceMs })
    await embedded?.stop()
    await drained()
  }
  trapSignals((signal) => {
    logger.info(`${signal}: stopping`)
    stop(config.SHUTDOWN_GRACE_MS).then(() => process.exit(0), refuse)
  })

  try {
    server = await startServer({
      config,
      target:
        embedded === undefined
          ? parseRedisUrl(config.REDIS_URL ?? '')
          : { kind: 'socket', path: embedded.socketPath, db: 0, tls: false },
      console: createConsole(stdout, format),
      logger,
      onUnfit: (error) => void stop(0).then(() => refuse(error)),
      onAway: () => {
        embedded?.ensureRunning().catch((error: Error) => logger.error(error.message))
      },
    })
  } catch (error) {
    await embedded?.stop()
    throw explain(error, config)
  }
}

/** The first signal stops in order, a second one ends the process at once. */
function trapSignals(onFirst: (signal: NodeJS.Signals) => void): void {
  let first: { signal: NodeJS.Signals; at: number } | undefined
  const trap = (signal: NodeJS.Signals) => {
    if (first === undefined) {
      first = { signal, at: performance.now() }
      onFirst(signal)
    } else if (signal !== first.signal || performance.now() - first.at > SAME_KEYSTROKE_MS) {
      process.exit(1)
    }
  }
  process.on('SIGTERM', trap)
  process.on('SIGINT', trap)
}

/** An address that cannot be listened on is a setting to change. */
function explain(error: unknown, { HOST, PORT }: Config): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'EADDRINUSE')
    return new Error(`PORT is ${PORT}, which another program on ${HOST} is using; set another PORT`)
  if (code === 'EACCES')
    return new Error(`PORT is ${PORT}, which this user may not listen on; set one above 1023`)
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
    return new Error(`HOST is "${HOST}", which is no address of this machine`)
  return error
}

try {
  await run(readConfig(process.env))
} catch (error) {
  if (error instanceof ConfigError) await refuse(error)
  await refuse(error)
}
