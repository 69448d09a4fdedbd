import { collectDefaultMetrics, Histogram, Registry } from 'prom-client'

const LOOK_EVERY_MS = 50

/** The longest delay of the present window of time, and of the one before. */
const WINDOW_MS = 2_500
const longest = { now: 0, before: 0, sinceMs: 0 }

/** The longest delay of this process's event loop in the last seconds, ms; 0 before processMetrics() is called. */
export const recentLoopDelayMs = (): number => Math.max(longest.now, longest.before)

let shared: Registry | undefined

/**
 * How this process is: prom-client's own measures of it (CPU, memory, garbage collection, event loop), and how late its
 * event loop is. There is one for all servers of a process, as they share what it measures, and as what prom-client
 * measures with is never let go of.
 */
export function processMetrics(): Registry {
  if (shared === undefined) {
    shared = new Registry()
    collectDefaultMetrics({ register: shared })
    watchEventLoop(shared)
  }
  return shared
}

/**
 * prom-client's `nodejs_eventloop_lag_*` are too coarse for a promise of milliseconds. Their percentiles include the
 * sampling interval of 10 ms, by which an idle loop seems to be late, and they restart with every scrape, so that each
 * of two scrapers sees a part.
 */
function watchEventLoop(registry: Registry): void {
  const delay = new Histogram({
    name: 'carillon_event_loop_delay_seconds',
    help: 'Event loop delay, sampled 20 times a second',
    buckets: [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5],
    registers: [registry],
  })
  let dueAt = performance.now() + LOOK_EVERY_MS
  setInterval(() => {
    const now = performance.now()
    const delayMs = Math.max(0, now - dueAt)
    delay.observe(delayMs / 1_000)
    if (now - longest.sinceMs >= WINDOW_MS) {
      Object.assign(longest, { now: 0, before: longest.now, sinceMs: now })
    }
    longest.now = Math.max(longest.now, delayMs)
    dueAt = now + LOOK_EVERY_MS
  }, LOOK_EVERY_MS).unref()
}
