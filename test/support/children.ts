import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { whenTestEnds } from './owner.ts'
import { ofRun } from './run.js'

/** The processes that were started here and have not ended. */
const running = new Set<ChildProcess>()

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export const runningChildren = (): ChildProcess[] => [...running]

/**
 * Starts a process, as `spawn` does. It ends with the test, whether that passes or fails. One that `beforeAll` starts
 * ends with the file at the latest. Tests start processes that may outlast them only in this way.
 */
export const startChild = ((command: string, args: readonly string[], options: SpawnOptions) => {
  let child: ChildProcess | undefined
  // Checked before the start: a test that has timed out must not start a process.
  whenTestEnds(() => child && endChild(child))
  child = spawn(command, args, { ...options, env: ofRun(options.env ?? process.env) })
  const started = child
  running.add(started)
  for (const event of ['exit', 'error']) started.once(event, () => running.delete(started))
  return started
}) as typeof spawn

/** Sends a process a signal, SIGKILL unless given, and waits for its end. Idempotent. */
export async function endChild(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  if (!running.has(child)) return
  const gone = once(child, 'exit')
  child.kill(signal)
  await gone
}
