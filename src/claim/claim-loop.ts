import { sleep } from '../sleep.ts'
import { createAlarm } from './alarm.ts'
import { type ClaimDeps, claimOnce, type Pass } from './claim-once.ts'

/** A sleeping server looks for itself this often, whatever it has heard; the jitter keeps servers apart. */
const POLL_MS = 1_000
const POLL_JITTER = 0.1
/** Batches being delivered and settled while the next is claimed; more would only queue at the console. */
const BATCHES_IN_FLIGHT = 3
/** After the grace, what cannot be broken off (a write that hangs) is left behind to be recovered. */
const HAND_BACK_MS = 2_000
const FIRST_BACKOFF_MS = 50
const LONGEST_BACKOFF_MS = 1_000

export interface ClaimLoop {
  /** Twice is once. */
  start(): void
  /** Looks for due messages of a shard in `inMs` at the latest. */
  wake(shard: number, inMs: number): void
  /** Looks at once, everywhere: Redis is back. */
  wakeAll(): void
  /**
   * Claims no more, lets deliveries finish for `graceMs`, hands back the rest. Safe before start and twice.
   * @returns once nothing is running any more, or what is cannot be ended
   */
  stop(options: { graceMs: number }): Promise<void>
}

export type ClaimLoopDeps = ClaimDeps & { readonly shards: number }

/**
 * One loop a shard. Each is in one of three states:
 *
 * - claiming   a claim call is under way; while it finds more than it may take, the next one follows at once
 * - sleeping   until the next due message, a wake, or the poll, whichever is first
 * - backing off after a call that failed, longer each time, logged at the first and at the recovery; or after a
 *               batch of which the destination took nothing, so that other servers come before this one
 *
 * Deliveries and settlements run beside it, up to BATCHES_IN_FLIGHT of them.
 */
export function createClaimLoop(deps: ClaimLoopDeps): ClaimLoop {
  const { shards, logger } = deps
  const alarms = Array.from({ length: shards }, createAlarm)
  const stopping = new AbortController()
  const ending = new AbortController()
  let running: Promise<unknown> | undefined

  async function run(shard: number): Promise<void> {
    const alarm = alarms[shard] ?? createAlarm()
    const inFlight = new Set<Promise<boolean>>()
    let failures = 0
    let refusals = 0
    while (!stopping.signal.aborted) {
      alarm.reset()
      let pass: Pass
      try {
        pass = await claimOnce(deps, shard, ending.signal)
        if (failures > 0) logger.info({ shard, failures }, 'claiming works again')
        failures = 0
      } catch (error) {
        if (failures === 0)
          logger.error({ shard, err: error }, 'claiming failed; trying again until it works')
        failures += 1
        await alarm.wait(backoffMs(failures))
        continue
      }
      if (pass.claimed > 0) {
        const { settled } = pass
        inFlight.add(settled)
        void settled.then((taken) => {
          inFlight.delete(settled)
          refusals = taken ? 0 : refusals + 1
        })
      }
      const mustWait = inFlight.size >= BATCHES_IN_FLIGHT || refusals > 0
      while (inFlight.size >= BATCHES_IN_FLIGHT) await Promise.race(inFlight)
      if (stopping.signal.aborted) break
      if (refusals > 0) await sleep(backoffMs(refusals), stopping.signal)
      // What was heard before such a wait is old: claim again rather than sleep by it.
      else if (!mustWait && pass.nextDueInMs !== 0) await alarm.wait(nextWaitMs(pass.nextDueInMs))
    }
    await Promise.all(inFlight)
  }

  return {
    start() {
      running ??= Promise.all(alarms.map((_alarm, shard) => run(shard)))
    },
    wake(shard, inMs) {
      alarms[shard]?.ringIn(inMs)
    },
    wakeAll() {
      for (const alarm of alarms) alarm.ringIn(0)
    },
    async stop({ graceMs }) {
      stopping.abort()
      for (const alarm of alarms) alarm.ringIn(0)
      const graceOver = new AbortController()
      await Promise.race([running, sleep(graceMs, graceOver.signal)])
      graceOver.abort()
      ending.abort()
      await Promise.race([running, sleep(HAND_BACK_MS, new AbortController().signal)])
    },
  }
}

const backoffMs = (failures: number): number =>
  Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(failures, 10), LONGEST_BACKOFF_MS) * (0.75 + Math.random() / 2)

/** Sleep until the next message is due, but never longer than the poll. */
export function nextWaitMs(nextDueInMs: number | null, random = Math.random()): number {
  const poll = POLL_MS * (1 - POLL_JITTER + 2 * POLL_JITTER * random)
  return nextDueInMs === null ? poll : Math.min(nextDueInMs, poll)
}
