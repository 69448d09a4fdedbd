import { LONGEST_TIMER_MS } from '../sleep.ts'

/** A wait that can be cut short: the earliest time anybody asked for wins. */
export interface Alarm {
  /** Ends the current wait, or the next one if none is running, in `ms` at the latest. */
  ringIn(ms: number): void
  /** Forgets what was asked for so far; what is asked for from here on counts for the next wait. */
  reset(): void
  /** Resolves after `ms` (at most LONGEST_TIMER_MS) or when the alarm rings, whichever comes first. */
  wait(ms: number): Promise<void>
}

export function createAlarm(): Alarm {
  let ringAt = Number.POSITIVE_INFINITY
  let timer: NodeJS.Timeout | undefined
  let immediate: NodeJS.Immediate | undefined
  let finish: (() => void) | undefined

  /** Timers are set for the time left, from a monotonic clock, and so never in the past of another. */
  function arm(): void {
    clearTimeout(timer)
    clearImmediate(immediate)
    const left = Math.ceil(ringAt - performance.now())
    // A timer would take a millisecond at least.
    if (left <= 0) immediate = setImmediate(() => finish?.())
    else timer = setTimeout(() => finish?.(), Math.min(Math.max(0, left), LONGEST_TIMER_MS))
  }

  return {
    ringIn(ms) {
      const at = performance.now() + ms
      if (at >= ringAt) return
      ringAt = at
      if (finish !== undefined) arm()
    },
    reset() {
      ringAt = Number.POSITIVE_INFINITY
    },
    wait(ms) {
      ringAt = Math.min(ringAt, performance.now() + ms)
      return new Promise((resolve) => {
        finish = () => {
          clearTimeout(timer)
          clearImmediate(immediate)
          finish = undefined
          resolve()
        }
        arm()
      })
    },
  }
}
