// What tests need so that their outcome does not depend on how fast the machine is, and what else it does.

const BEAT_MS = 4
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
  if (now - lastBeat > LATE_MS) stalls.push({ endedAt: now, ms: now - lastBeat - BEAT_MS })
  lastBeat = now
}, BEAT_MS).unref()

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
