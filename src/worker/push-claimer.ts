import type { Delivery } from '../destinations/delivery.ts'
import { isPushed } from '../destinations/registry.ts'
import type { ShardOwnership } from '../membership/ownership.ts'
import type { ShardMap } from '../shards/shard-map.ts'
import { ShardSchedule } from '../shards/shard-schedule.ts'
import type { ClaimScripts } from '../store/scripts/claim.ts'
import { createAlarm } from './alarm.ts'
import {
  backoffMs,
  type ClaimerDeps,
  callClaim,
  nextWaitMs,
  OWN_POLL_MS,
  POLL_MS,
  passOf,
} from './claim-call.ts'
import type { ClaimErrors } from './claim-error-log.ts'
import { toDeliveries } from './deliveries.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Slots } from './slots.ts'

export interface PushClaimerDeps extends ClaimerDeps {
  readonly scripts: Pick<ClaimScripts, 'claimHosts'>
  readonly shardMap: Pick<ShardMap, 'all' | 'onGrow'>
  readonly ownership: ShardOwnership
  readonly errors: ClaimErrors
  readonly slots: Pick<Slots, 'room' | 'isFull' | 'hasFreeSlot' | 'releaseCount'>
  readonly dispatcher: Pick<Dispatcher, 'dispatch'>
}

/**
 * Claims due messages for hosts, over all shards, as far as there are slots. While there are free slots, it claims from
 * the shard that has been due longest. One claim is in flight at a time: two could get the same slots.
 *
 * A shard is held back if it has a due message without a slot. When a slot becomes free, all held shards are due, each
 * since its last slot, and so take turns. A shard that finds nothing waits for the next free slot. Otherwise, shards
 * that wait for a full host would be claimed from all the time.
 */
export class PushClaimer {
  readonly #deps: PushClaimerDeps
  readonly #schedule: ShardSchedule
  readonly #alarm = createAlarm()
  /** shards that wait for the next free slot */
  readonly #held = new Set<number>()
  /** for each shard that is held back, when it last got a slot, monotonic ms */
  readonly #waitingSince = new Map<number, number>()
  /** shards that found nothing although a slot became free meanwhile, and got one more turn */
  readonly #retried = new Set<number>()
  /** for each shard, how long a non-owner waits before it claims; set after each claim */
  readonly #standbyMs: number[] = []
  readonly #failures = new Map<number, number>()
  /** for each shard, when it was last claimed from, monotonic ms */
  readonly #claimedAt: number[] = []
  #running: Promise<void> | undefined
  #isStopping = false

  constructor(deps: PushClaimerDeps) {
    this.#deps = deps
    this.#schedule = new ShardSchedule(deps.shardMap.all)
    deps.shardMap.onGrow(() => {
      this.#schedule.grow(deps.shardMap.all)
      this.#alarm.wakeWithin(0)
    })
  }

  /** Idempotent. */
  start(): void {
    if (!this.#isStopping) this.#running ??= this.#run()
  }

  /** A message becomes due in a lane of a shard. */
  wake(shard: number, inMs: number, lane: string): void {
    if (this.#deps.slots.isFull(lane)) this.#held.add(shard)
    else this.claimWithin(shard, inMs + (this.#standbyMs[shard] ?? 0))
  }

  /** Another claimer saw a due message in a shard. Ignored if this claimer was there recently. */
  notice(shard: number, inMs: number): void {
    if (performance.now() - (this.#claimedAt[shard] ?? 0) > POLL_MS) this.wake(shard, inMs, '')
  }

  /** Claims in a shard within `inMs`, whichever server owns it, once there is a slot. */
  claimWithin(shard: number, inMs: number): void {
    this.#schedule.soon(shard, inMs)
    this.#alarm.wakeWithin(inMs)
  }

  wakeAll(): void {
    this.#schedule.allDue()
    this.#alarm.wakeWithin(0)
  }

  /** A slot has become free. */
  slotFreed(): void {
    for (const shard of this.#held) this.#schedule.dueBy(shard, this.#since(shard))
    this.#held.clear()
    if (this.#schedule.nextInMs <= 0) this.#alarm.wakeWithin(0)
  }

  /** Stops claiming. @returns once no claim is in flight */
  async stop(): Promise<void> {
    this.#isStopping = true
    this.#alarm.wakeWithin(0)
    await this.#running
  }

  #since(shard: number): number {
    return this.#waitingSince.get(shard) ?? performance.now()
  }

  /** Makes a shard wait for a slot, unless one became free during its claim. */
  #hold(shard: number, { gotSome, wasFreed }: { gotSome: boolean; wasFreed: boolean }): void {
    if (gotSome || !this.#waitingSince.has(shard)) this.#waitingSince.set(shard, performance.now())
    const isFirst = wasFreed && !gotSome && !this.#retried.has(shard)
    if (isFirst) this.#retried.add(shard)
    else this.#retried.delete(shard)
    if (wasFreed) this.#schedule.dueBy(shard, isFirst ? this.#since(shard) : performance.now())
    else this.#held.add(shard)
  }

  async #run(): Promise<void> {
    const { slots } = this.#deps
    while (!this.#isStopping) {
      this.#alarm.reset()
      const isFree = slots.hasFreeSlot()
      const shard = isFree ? this.#schedule.takeNext() : undefined
      if (shard === undefined)
        await this.#alarm.wait(isFree ? this.#schedule.nextInMs : Number.POSITIVE_INFINITY)
      else await this.claimOnce(shard)
    }
  }

  /** Claims due messages in a shard, starts their deliveries, and schedules the next claim. Never rejects. */
  async claimOnce(shard: number): Promise<void> {
    const { scripts, slots, dispatcher, ownership, errors, settleQueue, shardMap } = this.#deps
    const released = slots.releaseCount()
    this.#claimedAt[shard] = performance.now()
    try {
      const room = slots.room()
      const call = await callClaim(this.#deps, shard, (args) => scripts.claimHosts(shard, { ...args, room }))
      const { readable, unreadable } = toDeliveries(this.#deps, call, ({ lane }) => lane, isForPush)
      for (const { delivery } of readable) dispatcher.dispatch(delivery, call.startBy, call.lockEndsAt)
      errors.recovered(shard)
      this.#failures.delete(shard)
      const wasFreed = slots.releaseCount() !== released
      if (call.reply.heldBack) this.#hold(shard, { gotSome: readable.length > 0, wasFreed })
      else this.#waitingSince.delete(shard)
      const pass = passOf(call.reply)
      ownership.observeLateness(shard, pass.lateMs)
      const standbyMs = ownership.standbyDelayMs(shard)
      this.#standbyMs[shard] = standbyMs
      const inMs =
        pass.nextDueInMs === 0
          ? 0
          : nextWaitMs(pass, { shards: shardMap.all, standbyMs, pollMs: OWN_POLL_MS })
      this.#schedule.soon(shard, inMs)
      await settleQueue.add(unreadable, () => call.lockEndsAt)
    } catch (error) {
      errors.failed(shard, error)
      const failures = (this.#failures.get(shard) ?? 0) + 1
      this.#failures.set(shard, failures)
      this.#schedule.soon(shard, backoffMs(failures))
    }
  }
}

const isForPush = ({ destination }: Delivery): boolean => isPushed(destination.type)
