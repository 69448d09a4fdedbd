import type { ShardOwnership } from '../membership/ownership.ts'
import type { ShardMap } from '../shards/shard-map.ts'
import { type Alarm, createAlarm } from './alarm.ts'
import { backoffMs, nextWaitMs, type Pass, POLL_MS } from './claim-call.ts'
import type { ClaimErrors } from './claim-error-log.ts'

export interface ShardLoopsDeps {
  readonly shardMap: Pick<ShardMap, 'all' | 'onGrow'>
  readonly ownership: ShardOwnership
  readonly errors: ClaimErrors
}

/** The work of a loop in its shard. */
export interface ShardTask {
  /** Claims once. @throws SchedulerError when Redis did not answer */
  pass(shard: number): Promise<Pass>
  /** ms until the next pass may begin, 0 for now; what ends this earlier wakes the shard */
  busyForMs?(shard: number): number
  /** the poll interval of a shard is this times the number of shards, ms; POLL_MS unless given */
  readonly pollMs?: number
}

/**
 * One loop per shard. Each is in one of four states:
 *
 * - claiming      a claim call is in flight; if more messages are due, the next call follows immediately
 * - sleeping      until the next due message, a wake, or the poll, whichever is first; a little longer if another
 *                 server is the owner
 * - busy          the destination has to accept earlier messages first
 * - backing off   after a failed call, longer each time; the first failure and the recovery are logged
 */
export class ShardLoops {
  readonly #deps: ShardLoopsDeps
  readonly #task: ShardTask
  readonly #alarms: Alarm[] = []
  /** for each shard, how long a non-owner waits before it claims; set after each pass */
  readonly #standbyMs: number[] = []
  /** for each shard, when its last pass began, monotonic ms */
  readonly #passedAt: number[] = []
  readonly #loops: Promise<void>[] = []
  #isStarted = false
  #isStopping = false

  constructor(deps: ShardLoopsDeps, task: ShardTask) {
    this.#deps = deps
    this.#task = task
    deps.shardMap.onGrow(() => this.#grow())
    this.#grow()
  }

  /** Idempotent. */
  start(): void {
    this.#isStarted = true
    this.#grow()
  }

  /** A message becomes due in a shard. */
  wake(shard: number, inMs: number): void {
    this.claimWithin(shard, inMs + (this.#standbyMs[shard] ?? 0))
  }

  /** Another claimer saw a due message in a shard. Ignored if this claimer was there recently. */
  notice(shard: number, inMs: number): void {
    if (performance.now() - (this.#passedAt[shard] ?? 0) > POLL_MS) this.wake(shard, inMs)
  }

  /** Claims in a shard within `inMs`, whichever server owns it. An unknown shard is ignored. */
  claimWithin(shard: number, inMs: number): void {
    this.#alarms[shard]?.wakeWithin(inMs)
  }

  wakeAll(): void {
    for (const alarm of this.#alarms) alarm.wakeWithin(0)
  }

  /** Stops claiming. @returns once no claim is in flight */
  async stop(): Promise<void> {
    this.#isStopping = true
    this.wakeAll()
    await Promise.all(this.#loops)
  }

  #grow(): void {
    while (this.#alarms.length < this.#deps.shardMap.all) this.#alarms.push(createAlarm())
    if (!this.#isStarted || this.#isStopping) return
    for (const alarm of this.#alarms.slice(this.#loops.length))
      this.#loops.push(this.#run(this.#loops.length, alarm))
  }

  async #run(shard: number, alarm: Alarm): Promise<void> {
    const { errors, ownership, shardMap } = this.#deps
    const { pollMs = POLL_MS } = this.#task
    let failures = 0
    while (!this.#isStopping) {
      alarm.reset()
      const busyMs = this.#task.busyForMs?.(shard) ?? 0
      if (busyMs > 0) {
        await alarm.wait(busyMs)
        continue
      }
      let pass: Pass
      this.#passedAt[shard] = performance.now()
      try {
        pass = await this.#task.pass(shard)
        errors.recovered(shard)
        failures = 0
      } catch (error) {
        errors.failed(shard, error)
        failures += 1
        await alarm.wait(backoffMs(failures))
        continue
      }
      ownership.observeLateness(shard, pass.lateMs)
      const standbyMs = ownership.standbyDelayMs(shard)
      this.#standbyMs[shard] = standbyMs
      if (pass.nextDueInMs === 0) continue
      await alarm.wait(nextWaitMs(pass, { shards: shardMap.all, standbyMs, pollMs }))
    }
  }
}
