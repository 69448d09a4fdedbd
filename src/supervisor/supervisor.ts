// The process that leads: it forks the servers, owns standard output and the embedded Redis, and takes the signals.
//
//   fork ──▶ hello ──▶ start ──▶ listening ──▶ stop ──▶ exit        in order
//              │         └─▶ start failed ──▶ exit                  what an operator has to fix
//              └── dies at any time: another is forked in its place
//
// The first server starts alone, so that an error that all would have (an unsupported Redis, a port in use) is logged
// once. A server whose primary is gone ends at once: node's cluster does that.

import cluster from 'node:cluster'
import type { Logger } from 'pino'
import type { Stdout } from '../destinations/console/stdout.ts'
import { sleep } from '../runtime/sleep.ts'
import type { Config } from '../server/config.ts'
import type { Server } from '../server/server.ts'
import type { RedisTarget } from '../store/redis-url.ts'
import { type ForkedServer, forkServer } from './forked-server.ts'
import { createMetricsAggregator } from './metrics-aggregator.ts'
import { createRestartBackoff } from './restart-backoff.ts'

/** After its grace a server releases what it holds and closes its connection to Redis. */
const ENDS_WITHIN_MS = 5_000

export interface SupervisorOptions {
  readonly config: Config
  readonly target: RedisTarget
  readonly stdout: Stdout
  readonly forTerminal: boolean
  readonly logger: Logger
  /** called when no server can continue; the service has to end */
  readonly onFatal: (error: Error) => void
  /** called when a server lost its connection to Redis */
  readonly onDisconnected: () => void
  /** aborted when the service is to stop, possibly before it listens */
  readonly stopping: AbortSignal
}

export interface Supervisor extends Pick<Server, 'stop'> {
  /**
   * Resolves once the first server listens.
   * @throws Error (with its `code`) when a server cannot start for a reason that would stop every other, or when
   *   `stopping` came first
   */
  readonly listening: Promise<void>
}

/** Starts `PROCESSES` servers behind one port and keeps that many running. */
export function startSupervisor(options: SupervisorOptions): Supervisor {
  const { config, target, forTerminal, logger, onFatal, stopping } = options
  // Each server accepts by itself: a connection that node's own distribution hands to a dying server would hang here.
  cluster.schedulingPolicy = cluster.SCHED_NONE
  // A log line of node's own would otherwise tear one of ours.
  cluster.setupPrimary({ serialization: 'advanced', stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const aggregator = createMetricsAggregator()
  const running = new Set<ForkedServer>()
  const serving = new Set<ForkedServer>()
  let port = config.PORT
  /** the port on which the first server listened */
  let chosenPort: number | undefined

  function fork(onListening: () => void): ForkedServer {
    const server = forkServer({
      ...options,
      aggregator,
      start: {
        ...{ type: 'start', target, forTerminal, quietly: chosenPort !== undefined },
        config: { ...config, PORT: port },
      },
      onListening(listensOn) {
        const listensAt = Number(new URL(listensOn).port)
        chosenPort ??= listensAt
        if (listensAt !== chosenPort) {
          // Port 0 was chosen again, as no server was left to share the first one, and no client knows the new one.
          port = chosenPort
          return server.stop(config.SHUTDOWN_GRACE_MS)
        }
        serving.add(server)
        onListening()
      },
    })
    running.add(server)
    return server
  }

  /** Keeps one slot filled: when its server dies, another is forked. */
  function keepServerRunning(onListening: () => void, onStartFailed: (error: Error) => void): void {
    const backoff = createRestartBackoff()
    const run = async () => {
      while (!stopping.aborted) {
        const startedAt = performance.now()
        const server = fork(onListening)
        const { endedWith, startError } = await server.ended
        running.delete(server)
        serving.delete(server)
        if (stopping.aborted) return
        if (startError !== undefined && serving.size === 0) return onStartFailed(startError)
        const waitMs = backoff.delayAfter(performance.now() - startedAt)
        const what =
          startError === undefined ? `ended (${endedWith})` : `could not start (${startError.message})`
        const next = `starting another${waitMs > 0 ? ` in ${waitMs} ms` : ''}`
        logger.error(`server process ${server.pid} ${what}; ${next}`)
        await sleep(waitMs, stopping)
      }
    }
    void run()
  }

  const listening = new Promise<void>((resolve, reject) => {
    let started = 1
    const onListening = () => {
      resolve()
      for (; started < config.PROCESSES; started += 1) keepServerRunning(onListening, onStartFailed)
    }
    const onStartFailed = (error: Error) => {
      if (chosenPort !== undefined) return onFatal(error)
      return reject(error)
    }
    stopping.addEventListener('abort', () => reject(new Error('stopped before it listened')))
    keepServerRunning(onListening, onStartFailed)
  })

  return { listening, stop: ({ graceMs }) => stopAll(running, graceMs, logger) }
}

/** @param running a server is taken out once it has ended */
async function stopAll(running: ReadonlySet<ForkedServer>, graceMs: number, logger: Logger): Promise<void> {
  for (const server of running) server.stop(graceMs)
  const allEnded = new AbortController()
  const ended = Promise.all([...running].map((server) => server.ended)).then(() => allEnded.abort())
  await sleep(graceMs + ENDS_WITHIN_MS, allEnded.signal)
  for (const server of running) {
    logger.error(`server process ${server.pid} did not stop in time; killing it`)
    server.kill()
  }
  await ended
}
