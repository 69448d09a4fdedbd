import { createConsoleSender } from '../destinations/console/console.ts'
import type { Measured } from '../observability/prometheus.ts'
import { sleep } from '../runtime/sleep.ts'
import { logLibraryWarnings } from '../server/library-warnings.ts'
import { createLogger, createTerminalFormat } from '../server/logger.ts'
import { type Server, startServer } from '../server/server.ts'
import { stopOnUnexpectedErrors } from '../server/unexpected-errors.ts'
import { type FromServer, type Start, type ToServer, toReason } from './ipc-messages.ts'
import { createRelayedStdout } from './relayed-stdout.ts'

/** How long a stop waits for a start that is still under way, and for the last lines to be written. */
const START_ENDS_WITHIN_MS = 3_000
const LAST_LINES_MS = 500

const never = new AbortController().signal

/**
 * Is one server of several behind one port, in a process of its own that the primary forked: starts when the primary
 * says so and stops when it says so. A SIGTERM to this process alone stops it in order too, and the primary starts
 * another. Once the primary is gone, node's cluster ends this process at once.
 */
export function runServerProcess(): void {
  const stdout = createRelayedStdout(send)
  const gathering = createGathering()
  let graceAtSignalMs = 0
  let server: Server | undefined
  let started: Promise<void> | undefined
  let stopped: Promise<void> | undefined

  async function start({ config, target, forTerminal, quietly }: Start): Promise<void> {
    graceAtSignalMs = config.SHUTDOWN_GRACE_MS
    const format = forTerminal ? await createTerminalFormat() : undefined
    const logger = createLogger(stdout, quietly ? 'fatal' : config.LOG_LEVEL, format)
    logLibraryWarnings(logger)
    const { SHUTDOWN_GRACE_MS: graceMs } = config
    stopOnUnexpectedErrors({ logger, graceMs, stop: () => stop(graceMs) })
    const fail = (error: Error) => send({ type: 'fatal', reason: toReason(error) })
    server = await startServer({
      config,
      target,
      console: createConsoleSender(stdout, { format, onBroken: fail }),
      logger,
      onUnsupported: fail,
      onDisconnected: () => send({ type: 'redis disconnected' }),
      gatherMeasured: gathering.ask,
    })
    logger.level = config.LOG_LEVEL
    send({ type: 'listening', url: server.url })
  }

  /** A start that fails while it is to be stopped is no failure. */
  function end(error: unknown): void {
    if (stopped === undefined) send({ type: 'start failed', reason: toReason(error) }, () => process.exit(1))
  }

  function stop(graceMs: number): Promise<void> {
    stopped ??= stopAll(graceMs)
    return stopped
  }

  async function stopAll(graceMs: number): Promise<void> {
    await Promise.race([started?.catch(() => undefined), sleep(START_ENDS_WITHIN_MS, never)])
    await server?.stop({ graceMs })
    await Promise.race([stdout.drain(), sleep(LAST_LINES_MS, never)])
    process.exit()
  }

  function take(message: ToServer): void {
    switch (message.type) {
      case 'start':
        started = start(message)
        started.catch(end)
        break
      case 'stop':
        void stop(message.graceMs)
        break
      case 'settled':
        stdout.settled(message)
        break
      case 'measure':
        // If it does not answer, its last values are used.
        server
          ?.measured()
          .then((measured) => send({ type: 'measured', id: message.id, measured }))
          .catch(() => undefined)
        break
      case 'gathered':
        gathering.answer(message.id, message.measured)
        break
      default:
        message satisfies never
    }
  }

  // A terminal's Ctrl-C reaches every process; the primary has it too, and leads.
  process.on('SIGINT', () => undefined)
  process.on('SIGTERM', () => void stop(graceAtSignalMs))
  process.on('message', take)
  send({ type: 'hello' })
}

/** Asks the primary for what all servers have measured. */
function createGathering() {
  const asked = new Map<number, (measured: readonly Measured[]) => void>()
  let lastId = 0
  return {
    ask: () =>
      new Promise<readonly Measured[]>((resolve) => {
        lastId += 1
        asked.set(lastId, resolve)
        send({ type: 'gather', id: lastId })
      }),
    answer(id: number, measured: readonly Measured[]): void {
      asked.get(id)?.(measured)
      asked.delete(id)
    },
  }
}

/** A primary that is gone hears nothing, and this process is about to end. */
function send(message: FromServer, onSent: () => void = () => undefined): void {
  process.send?.(message, undefined, undefined, onSent)
}
