import { machineMs } from './speed.ts'

/**
 * Waits until `holds` is true, and checks it every few ms: for states of other processes that send no signal. The
 * default timeout only ends what hangs, and is no limit of how long something may take.
 *
 * @param timeoutMs of the time in which the machine lets this process run. @see machineMs
 * @throws Error that names `what` if it is not true in time
 */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = 120_000,
): Promise<void> {
  const from = performance.now()
  while (!(await holds())) {
    if (machineMs(from) > timeoutMs) throw new Error(`waited ${timeoutMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
