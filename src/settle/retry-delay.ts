const FIRST_MS = 1_000
const LONGEST_MS = 3_600_000

/**
 * How long a message waits after a failed delivery, ms: exponential back-off with full jitter, so that many
 * messages that failed together do not come back together.
 *
 * @param failures failed deliveries so far, this one included (from 1)
 * @param random 0 to 1
 */
export function retryDelayMs(failures: number, random = Math.random()): number {
  return Math.round(random * Math.min(LONGEST_MS, FIRST_MS * 2 ** (failures - 1)))
}
