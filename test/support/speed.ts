import { onTestFinished } from 'vitest'

// What tests need so that their outcome does not depend on the speed of the machine and its other load.

const HEARTBEAT_MS = 4
/** On a machine that is not busy, a beat comes well before this. */
const LATE_MS = 10

interface Stall {
  readonly endedAt: number
  readonly ms: number
}

const stalls: Stall[] = []
let lastBeat = performance.now()

setInterval(() => {
  const now = performance.now()
  if (now - lastBeat > LATE_MS) stalls.push({ endedAt: now, ms: now - lastBeat - HEARTBEAT_MS })
  lastBeat = now
}, HEARTBEAT_MS).unref()

/**
 * The time since `from` in which the event loop of this process was blocked, by the machine or by work of its own.
 *
 * @param from performance.now() then
 */
export function lostMs(from: number): number {
  const now = performance.now()
  const all = [...stalls, { endedAt: now, ms: Math.max(0, now - lastBeat - LATE_MS) }]
  return all.reduce((sum, { endedAt, ms }) => sum + Math.max(0, Math.min(ms, endedAt - from)), 0)
}

/**
 * The time since `from` without what was lost: for limits of how soon something in this process has to happen.
 *
 * @param from performance.now() then
 */
export const machineMs = (from: number): number => performance.now() - from - lostMs(from)

/** @returns the time of the slowest of some calls, one after another, ms */
export async function slowestOf(call: () => Promise<unknown>, times = 3): Promise<number> {
  let slowest = 0
  for (let i = 0; i < times; i += 1) {
    const from = performance.now()
    await call()
    slowest = Math.max(slowest, performance.now() - from)
  }
  return slowest
}

/**
 * A due time that is still in the future when that many requests, sent from now on, have been answered. It follows from
 * how long a call takes now. Concurrent requests slow each other down little.
 *
 * @param call a round trip over everything that the requests pass
 * @returns epoch ms
 */
export async function soon(call: () => Promise<unknown>, requests = 1): Promise<number> {
  const slowest = await slowestOf(call)
  return Date.now() + 400 + Math.ceil((10 + requests / 10) * slowest)
}

/** Measures how slow the machine is while something else is timed. */
export interface Probe {
  /** the slowest round trip over all calls so far, one in flight included, ms */
  slowestMs(): number
  /** a typical round trip over all calls, ms */
  medianMs(): number
}

/**
 * Makes calls repeatedly until the test ends: for limits on what several processes do together, of which `machineMs`
 * sees only this one. The calls go to the processes that are timed, and avoid what the test disturbs.
 *
 * @param calls made one after another, such as `/live` of each server
 */
export function startProbe(...calls: readonly (() => Promise<unknown>)[]): Probe {
  const EVERY_MS = 20
  const trips: number[] = []
  let from = performance.now()
  let goesOn = true
  const probing = (async () => {
    while (goesOn) {
      from = performance.now()
      for (const call of calls) await call()
      trips.push(performance.now() - from)
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS))
    }
  })()
  // A server that has ended ends the probe: its calls are measured by then.
  const ended = probing.catch(() => {
    goesOn = false
  })
  onTestFinished(() => {
    goesOn = false
    return ended
  })
  return {
    slowestMs: () => Math.max(goesOn ? performance.now() - from - EVERY_MS : 0, 0, ...trips),
    medianMs: () => trips.toSorted((a, b) => a - b)[Math.floor(trips.length / 2)] ?? 0,
  }
}
