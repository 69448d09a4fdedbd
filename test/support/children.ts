import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { whenTestEnds } from './owner.ts'
import { ofRun } from './run.js'

/** What was started here and has not ended. */
const running = new Set<ChildProcess>()

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export const runningChildren = (): ChildProcess[] => [...running]

/**
 * Starts a process, as `spawn` does, that ends with the test, whatever the test's outcome; one that no test starts, but
 * `beforeAll`, ends with the file at the latest. The only way in which tests start processes that may outlast them.
 */
export const startChild = ((command: string, args: readonly string[], options: SpawnOptions) => {
  let child: ChildProcess | undefined
  // Before it is there: a test whose time is up is to start nothing more.
  whenTestEnds(() => child && endChild(child))
  child = spawn(command, args, { ...options, env: ofRun(options.env ?? process.env) })
  const started = child
  running.add(started)
  for (const event of ['exit', 'error']) started.once(event, () => running.delete(started))
  return started
}) as typeof spawn

/** Sends a process a signal, kill -9 unless given, and waits for its end. Idempotent. */
export async function endChild(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  if (!running.has(child)) return
  const gone = once(child, 'exit')
  child.kill(signal)
  await gone
}
