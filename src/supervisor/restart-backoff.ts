/** A process that lived for less died young: what ended it may end the next one as soon. */
const STABLE_AFTER_MS = 10_000
const FIRST_WAIT_MS = 100
const LONGEST_WAIT_MS = 5_000

/** How long to wait before a process that died is followed by another. */
export interface RestartBackoff {
  /** @returns ms: none, unless one dies young after the other: then twice as long each time, up to 5 s */
  delayAfter(livedMs: number): number
}

export function createRestartBackoff(): RestartBackoff {
  let earlyCrashes = 0
  return {
    delayAfter(livedMs) {
      earlyCrashes = livedMs < STABLE_AFTER_MS ? earlyCrashes + 1 : 0
      return earlyCrashes < 2 ? 0 : Math.min(FIRST_WAIT_MS * 2 ** (earlyCrashes - 2), LONGEST_WAIT_MS)
    },
  }
}
