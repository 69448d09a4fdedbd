import { onTestFinished } from 'vitest'

// What tests need so that their outcome does not depend on how fast the machine is, and what else it does.

const HEARTBEAT_MS = 4
/** A beat on a machine with time for us comes well before. */
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
 * The time since then that this process could not use, as the machine, or work of its own, kept it from going round its
 * event loop.
 *
 * @param from performance.now() of then
 */
export function lostMs(from: number): number {
  const now = performance.now()
  const all = [...stalls, { endedAt: now, ms: Math.max(0, now - lastBeat - LATE_MS) }]
  return all.reduce((sum, { endedAt, ms }) => sum + Math.max(0, Math.min(ms, endedAt - from)), 0)
}

/**
 * The time since then without what was lost: for limits of how soon something in this process has to happen.
 *
 * @param from performance.now() of then
 */
export const machineMs = (from: number): number => performance.now() - from - lostMs(from)

/** @returns the ms that the slowest of some calls, one after another, takes */
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
 * A due time that is surely ahead when so many requests, sent from now on, have been answered: as is told by how long a
 * call takes just now. Those sent at a time cost each other little.
 *
 * @param call a round trip over all that the requests go over
 * @returns epoch ms
 */
export async function soon(call: () => Promise<unknown>, requests = 1): Promise<number> {
  const slowest = await slowestOf(call)
  return Date.now() + 400 + Math.ceil((10 + requests / 10) * slowest)
}

/** Tells how slow the machine is just then, while something else is timed. */
export interface Probe {
  /** what the slowest round trip over all calls took so far, one that goes on included, ms */
  slowestMs(): number
  /** what a usual round trip over all calls takes, ms */
  medianMs(): number
}

/**
 * Makes calls again and again until the test ends: for limits on what several processes do together, of which
 * `machineMs` sees only this one. The calls go to the processes that are timed, past what the test disturbs.
 *
 * @param calls what is asked one after another, such as `/live` of each server
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
  // A server that has ended ends the probe: how long its calls took is known by then.
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
