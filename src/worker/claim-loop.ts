import type { ShardOwnership } from '../membership/ownership.ts'
import { sleep } from '../runtime/sleep.ts'
import type { ShardMap } from '../shards/shard-map.ts'
import { laneOfQueue } from '../store/keys.ts'
import { type Alarm, createAlarm } from './alarm.ts'
import { createClaimErrorLog } from './claim-error-log.ts'
import { type ClaimDeps, claimOnce, type Pass } from './claim-once.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { HostSlots } from './host-slots.ts'
import { createSlotTurns } from './slot-turns.ts'

/**
 * A sleeping server looks for itself this often, in one shard after the other, whatever it has heard; the jitter keeps
 * servers apart.
 */
const POLL_MS = 1_000
const POLL_JITTER = 0.1
/** Batches being delivered and settled while the next is claimed; more would only queue at the console. */
const BATCHES_IN_FLIGHT = 3
/** After the grace, what cannot be broken off (a write that hangs) is left behind to be recovered. */
const RELEASE_MS = 2_000
const FIRST_BACKOFF_MS = 50
const LONGEST_BACKOFF_MS = 1_000

export interface ClaimLoop {
  /** Twice is once. */
  start(): void
  /** Looks for due messages of a shard in `inMs` at the latest. @param lane in which one becomes due, "" for the main due set */
  wake(shard: number, inMs: number, lane?: string): void
  /** More is due in a shard than one claim takes: helps whoever is there. */
  help(shard: number): void
  /** Whether the console has taken nothing of the last batch for any shard. */
  isStuck(): boolean
  /** Looks at once, everywhere: Redis is back. */
  wakeAll(): void
  /** A slot has become free: looks where messages were held back for want of one. */
  slotFreed(): void
  /**
   * Claims no more, lets deliveries finish for `graceMs`, hands back the rest. Safe before start and twice.
   * @returns once nothing is running any more, or what is cannot be ended
   */
  stop(options: { graceMs: number }): Promise<void>
}

export interface ClaimLoopDeps extends ClaimDeps {
  readonly dispatcher: Dispatcher
  readonly slots: HostSlots
  readonly ownership: ShardOwnership
  readonly shardMap: Pick<ShardMap, 'all' | 'onGrow'>
  /** messages for the console per claim, and for streams */
  readonly limit: number
  /** aborted here when the service ends now */
  readonly ending: AbortController
}

/**
 * One loop a shard. Each is in one of three states:
 *
 * - claiming   a claim call is under way; while it finds more than it may take, the next one follows at once
 * - sleeping   until the next due message, a wake, or the poll, whichever is first; where another server is on duty, a
 *              little longer
 * - backing off after a call that failed, longer each time, logged at the first and at the recovery
 *
 * Deliveries and settlements run beside it. While the console has BATCHES_IN_FLIGHT of them, or has just taken nothing
 * of a batch, only messages for others are claimed.
 */
export function createClaimLoop(deps: ClaimLoopDeps): ClaimLoop {
  const { shardMap, logger, slots, ownership, dispatcher, ending } = deps
  const alarms: Alarm[] = []
  /** for each shard, how long what is due there is left to the server on duty; another time after each pass */
  const standbyDelays: number[] = []
  const turns = createSlotTurns(slots, (shard) => alarms[shard]?.wakeWithin(0))
  /** shards of whose last batch the console took nothing */
  const stuck = new Set<number>()
  const errorLog = createClaimErrorLog(logger)
  const stopping = new AbortController()
  const loops: Promise<void>[] = []
  let started = false

  /** Brings the loops to one a shard. */
  function matchShardCount(): void {
    while (alarms.length < shardMap.all) alarms.push(createAlarm())
    if (!started || stopping.signal.aborted) return
    while (loops.length < alarms.length) loops.push(run(loops.length))
  }
  shardMap.onGrow(matchShardCount)
  matchShardCount()

  async function run(shard: number): Promise<void> {
    const alarm = alarms[shard] ?? createAlarm()
    const inFlight = new Set<Promise<boolean>>()
    let claimErrors = 0
    let consoleStalls = 0
    let consolePausedUntil = 0

    const track = (settled: Promise<boolean>) => {
      inFlight.add(settled)
      void settled.then((taken) => {
        inFlight.delete(settled)
        consoleStalls = taken ? 0 : consoleStalls + 1
        if (taken) stuck.delete(shard)
        else stuck.add(shard)
        const waitMs = taken ? 0 : backoffMs(consoleStalls)
        consolePausedUntil = performance.now() + waitMs
        if (!taken || inFlight.size === BATCHES_IN_FLIGHT - 1) alarm.wakeWithin(waitMs)
      })
    }

    while (!stopping.signal.aborted) {
      alarm.reset()
      // This wait may have been ended early, or have been forgotten at the reset.
      if (performance.now() < consolePausedUntil) alarm.wakeWithin(consolePausedUntil - performance.now())
      const forConsole = inFlight.size < BATCHES_IN_FLIGHT && performance.now() >= consolePausedUntil
      const turn = turns.open(shard)
      let pass: Pass
      try {
        // What the console then takes nothing of waits with it: one message is enough to try.
        const limit = consoleStalls > 0 ? 1 : ownership.batchShare(deps.limit)
        const room = { limit: forConsole ? limit : 0, streamLimit: limit, ...turn.room }
        pass = await claimOnce(deps, shard, room, ending.signal)
        errorLog.recovered(shard)
        claimErrors = 0
      } catch (error) {
        turn.failed()
        errorLog.failed(shard, error)
        claimErrors += 1
        await alarm.wait(backoffMs(claimErrors))
        continue
      }
      const isNext = turn.answered(pass)
      if (pass.settled !== null) track(pass.settled)
      if (isNext) continue
      ownership.observeLateness(shard, pass.lateMs)
      const standbyDelayMs = ownership.standbyDelayMs(shard)
      standbyDelays[shard] = standbyDelayMs
      if (pass.nextDueInMs === 0) continue
      await alarm.wait(nextWaitMs(pass, { shards: shardMap.all, standbyDelayMs }))
    }
    await Promise.all(inFlight)
  }

  return {
    start() {
      started = true
      matchShardCount()
    },
    wake(shard, inMs, lane = '') {
      // Those who wait for a queue's messages are told by others.
      if (lane.startsWith(laneOfQueue(''))) return
      const alarm = alarms[shard]
      // A shard that this server does not know of yet.
      if (alarm === undefined) return
      if (slots.isFull(lane)) turns.holdBack(shard)
      else alarm.wakeWithin(inMs + (standbyDelays[shard] ?? 0))
    },
    help(shard) {
      const inMs = ownership.requestHelp(shard)
      if (inMs !== null) alarms[shard]?.wakeWithin(inMs)
    },
    isStuck: () => stuck.size > 0,
    wakeAll() {
      for (const alarm of alarms) alarm.wakeWithin(0)
    },
    slotFreed: () => turns.freed(),
    async stop({ graceMs }) {
      stopping.abort()
      for (const alarm of alarms) alarm.wakeWithin(0)
      const finished = Promise.all(loops).then(() => dispatcher.idle())
      const graceOver = new AbortController()
      await Promise.race([finished, sleep(graceMs, graceOver.signal)])
      graceOver.abort()
      ending.abort()
      const over = new AbortController()
      await Promise.race([finished, sleep(RELEASE_MS, over.signal)])
      over.abort()
    },
  }
}

const backoffMs = (failures: number): number =>
  Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(failures, 10), LONGEST_BACKOFF_MS) * (0.75 + Math.random() / 2)

/** Sleep until the next message is due or the next claim expires, and `standbyDelayMs` more, but never longer than the poll. */
export function nextWaitMs(
  { nextDueInMs, expiryInMs }: Pick<Pass, 'nextDueInMs' | 'expiryInMs'>,
  { shards, standbyDelayMs }: { shards: number; standbyDelayMs: number },
  random = Math.random(),
): number {
  const poll = POLL_MS * shards * (1 - POLL_JITTER + 2 * POLL_JITTER * random)
  return Math.min((nextDueInMs ?? poll) + standbyDelayMs, (expiryInMs ?? poll) + standbyDelayMs, poll)
}
