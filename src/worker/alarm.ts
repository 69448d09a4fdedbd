import { LONGEST_TIMER_MS } from '../runtime/sleep.ts'

/** Waits below this spin on setImmediate: a timer may take a whole ms longer. */
const SPIN_MS = 0.3

/** A wait that can be shortened: the earliest requested time wins. */
export interface Alarm {
  /** Ends the current wait after `ms` at the latest, or the next wait if none is running. */
  wakeWithin(ms: number): void
  /** Forgets all requests so far; later requests apply to the next wait. */
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
   * Timers count whole ms, and may fire slightly early. The rest of a wait spins on setImmediate. That is rare, so it
   * costs little CPU.
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
