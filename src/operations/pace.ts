/** One step takes at most so many messages: a script call for them takes some milliseconds. */
const MOST_AT_ONCE = 500
const STEPS_PER_SECOND = 5

/** Spreads work evenly over time. */
export interface Pace {
  /** how many messages one step takes at most */
  readonly atOnce: number
  /** @returns ms until the next step may begin */
  delayMs(): number
  /** Takes note of so many messages, which begin now. */
  note(count: number): void
}

/** @param perSecond absent for no bound @param now monotonic ms */
export function createPace(perSecond?: number, now: () => number = () => performance.now()): Pace {
  if (perSecond === undefined) return { atOnce: MOST_AT_ONCE, delayMs: () => 0, note: () => undefined }
  let nextAt = now()
  return {
    atOnce: Math.min(MOST_AT_ONCE, Math.max(1, Math.floor(perSecond / STEPS_PER_SECOND))),
    delayMs: () => Math.max(0, nextAt - now()),
    note(count) {
      // What could not be done in time is not made up for: never more in a second than was asked for.
      nextAt = Math.max(nextAt, now()) + (count / perSecond) * 1_000
    },
  }
}
