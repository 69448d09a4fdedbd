import { LONGEST_TIMER_MS } from '../runtime/sleep.ts'

/** So little is waited for without a timer, which would take up to a whole ms more. */
const SPIN_MS = 0.3

/** A wait that can be cut short: the earliest time anybody asked for wins. */
export interface Alarm {
  /** Ends the current wait, or the next one if none is running, in `ms` at the latest. */
  wakeWithin(ms: number): void
  /** Forgets what was asked for so far; what is asked for from here on counts for the next wait. */
  reset(): void
  /** Resolves after `ms` (at most LONGEST_TIMER_MS) or when the alarm rings, whichever comes first. */
  wait(ms: number): Promise<void>
}

export function createAlarm(): Alarm {
  let wakeAt = Number.POSITIVE_INFINITY
  let timer: NodeJS.Timeout | undefined
  let immediate: NodeJS.Immediate | undefined
  let finish: (() => void) | undefined

  function checkTime(): void {
    if (performance.now() < wakeAt) arm()
    else finish?.()
  }

  /**
   * Timers go by whole ms, and may come a little early where the event loop turned in between. What is too short for one is
   * spent turning the loop, which costs a core little as it is rare that so little is left.
   */
  function arm(): void {
    clearTimeout(timer)
    clearImmediate(immediate)
    const left = wakeAt - performance.now()
    if (left <= SPIN_MS) {
      immediate = setImmediate(checkTime)
      return
    }
    const ms = left % 1 <= SPIN_MS ? Math.floor(left) : Math.ceil(left)
    timer = setTimeout(checkTime, Math.min(ms, LONGEST_TIMER_MS))
  }

  return {
    wakeWithin(ms) {
      const at = performance.now() + ms
      if (at >= wakeAt) return
      wakeAt = at
      if (finish !== undefined) arm()
    },
    reset() {
      wakeAt = Number.POSITIVE_INFINITY
    },
    wait(ms) {
      wakeAt = Math.min(wakeAt, performance.now() + ms)
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
