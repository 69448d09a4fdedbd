import { LONGEST_TIMER_MS } from '../runtime/sleep.ts'

/** So little is waited for without a timer, which would take up to a whole ms more. */
const TURNING_MS = 0.3

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

  function ring(): void {
    if (performance.now() < ringAt) arm()
    else finish?.()
  }

  /**
   * Timers go by whole ms, and may come a little early where the event loop turned in between. What is too short for one is
   * spent turning the loop, which costs a core little as it is rare that so little is left.
   */
  function arm(): void {
    clearTimeout(timer)
    clearImmediate(immediate)
    const left = ringAt - performance.now()
    if (left <= TURNING_MS) {
      immediate = setImmediate(ring)
      return
    }
    const ms = left % 1 <= TURNING_MS ? Math.floor(left) : Math.ceil(left)
    timer = setTimeout(ring, Math.min(ms, LONGEST_TIMER_MS))
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
