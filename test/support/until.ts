/**
 * Waits until `holds` does, looking every few ms: for states of other processes that send no signal. The time it is given
 * only ends what hangs: it is no limit of how long something may take.
 *
 * @throws Error naming `what` when it does not hold in time
 */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = 120_000,
): Promise<void> {
  const giveUpAt = performance.now() + timeoutMs
  while (!(await holds())) {
    if (performance.now() > giveUpAt) throw new Error(`waited ${timeoutMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
