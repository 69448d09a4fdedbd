import type { Logger } from 'pino'
import { failedImmediately } from '../domain/errors.ts'
import { type ClaimMetricsDeps, recordClaimMetrics, recordTrimmed } from '../observability/claim-metrics.ts'
import { groupBy } from '../runtime/group-by.ts'
import { withTimeout } from '../runtime/time-limit.ts'
import type { ShardMap } from '../shards/shard-map.ts'
import { laneOfQueue } from '../store/keys.ts'
import type { RedisClock } from '../store/redis-clock.ts'
import type { Scripts } from '../store/scripts/scripts.ts'
import type { Release } from '../store/scripts/settle.ts'
import type { AskedQueues } from './asked-queues.ts'
import { claimDue } from './claim-due.ts'
import {
  type AtQueue,
  acknowledged,
  deferred,
  type Lease,
  type Leased,
  type LeaseRef,
  type Proven,
  rejected,
  released,
  returned,
  toLease,
  UNREADABLE,
} from './lease.ts'
import { laneAt, recordEnds } from './lease-metrics.ts'
import { decodeLeaseToken, isForLane, makeSecret } from './lease-token.ts'
import { type Found, type Order, WaitingLines } from './waiting-lines.ts'

/**
 * The leases of pull workers: claims as servers have them. Every method throws SchedulerError STORE_UNAVAILABLE when
 * Redis did not confirm: the change may or may not have happened.
 */
export interface Leases {
  /**
   * Leases due messages, and waits up to `waitMs` for the first one.
   *
   * @param signal aborted when the worker waits no longer
   * @returns no leases if no message became due. A call in flight when `signal` is aborted may still lease messages:
   *   the caller gives back what it cannot send.
   */
  claim(
    queue: string,
    args: { limit: number; lockMs: number; waitMs: number },
    signal: AbortSignal,
  ): Promise<Lease[]>
  /** Undoes leases that could not be sent to their worker, as if they had never existed. */
  giveBack(leases: readonly Lease[]): void
  /**
   * Ends successful deliveries.
   *
   * @param at absent for any queue, as in the methods below
   * @returns the ids of the leases that were lost, in the order of the refs
   */
  acknowledge(refs: readonly LeaseRef[], at?: AtQueue): Promise<string[]>
  /**
   * Ends failed deliveries.
   *
   * @param delayMs until they may be claimed again; null for the back-off of each message's retry policy
   * @returns the ids of the leases that were lost, in the order of the refs
   */
  release(refs: readonly LeaseRef[], delayMs: number | null, at?: AtQueue): Promise<string[]>
  /**
   * Ends leases without a delivery, which counts as nothing.
   *
   * @param delayMs until they may be claimed again
   * @returns the ids of the leases that were lost, in the order of the refs
   */
  defer(refs: readonly LeaseRef[], delayMs: number, at?: AtQueue): Promise<string[]>
  /**
   * Makes dead letters of messages, also with attempts left.
   *
   * @param reason a short text without line breaks
   * @returns the ids of the leases that were lost, in the order of the refs
   */
  reject(refs: readonly LeaseRef[], reason: string, at?: AtQueue): Promise<string[]>
  /** @param lockMs how long they last from now @returns the ids of the lost leases, in the order of the refs */
  extend(refs: readonly LeaseRef[], lockMs: number, at?: AtQueue): Promise<string[]>
}

export interface LeasesDeps extends ClaimMetricsDeps {
  readonly scripts: Pick<Scripts, 'lease' | 'peek' | 'acknowledge' | 'release' | 'extend'>
  readonly clock: RedisClock
  readonly serverId: string
  readonly askedQueues: Pick<AskedQueues, 'ask'>
  readonly shardMap: Pick<ShardMap, 'all' | 'onGrow'>
  readonly logger: Logger
}

/** Claims for pull workers, and settles their claims. @see Leases */
export class RedisLeases implements Leases {
  readonly #deps: LeasesDeps
  readonly #lines: WaitingLines<Leased>
  #nextShard: number

  constructor(deps: LeasesDeps) {
    const { scripts, shardMap } = deps
    this.#deps = deps
    this.#nextShard = Math.floor(Math.random() * shardMap.all)
    this.#lines = new WaitingLines<Leased>({
      shardMap,
      claimIn: (shard, lane, order) => this.#claimIn(shard, lane, order),
      peek: scripts.peek,
    })
  }

  /** A message becomes due in a lane. */
  wake(shard: number, inMs: number, lane: string): void {
    this.#lines.wake(shard, inMs, lane)
  }

  /** Wakes may have been missed. */
  wakeAll(): void {
    this.#lines.wakeAll()
  }

  async claim(
    queue: string,
    { waitMs, ...order }: Order & { waitMs: number },
    signal: AbortSignal,
  ): Promise<Lease[]> {
    const lane = laneOfQueue(queue)
    const ended = this.#deps.askedQueues.ask(queue)
    const claimed = await (waitMs === 0
      ? this.#claimNow(lane, order, signal)
      : this.#lines.wait(lane, order, waitMs, signal)
    ).finally(ended)
    return claimed.map(({ lease }) => lease)
  }

  giveBack(given: readonly Lease[]): void {
    this.#putBack(
      given.map((lease) => {
        const { shard = 0, secret = '' } = decodeLeaseToken(lease.token) ?? {}
        return { lease, shard, release: returned(lease, secret) }
      }),
    )
  }

  acknowledge(refs: readonly LeaseRef[], at?: AtQueue): Promise<string[]> {
    const { scripts, clock, metrics } = this.#deps
    return this.#forEachShard(refs, at, async (shard, held) => {
      const delivered = held.map((each) => acknowledged(each, clock.now()))
      const lost = await scripts.acknowledge(shard, delivered)
      metrics.delivered('pull', held.length - lost.length, laneAt(at))
      recordEnds(this.#deps, held, lost, at)
      return lost
    })
  }

  release(refs: readonly LeaseRef[], delayMs: number | null, at?: AtQueue): Promise<string[]> {
    return this.#end(refs, at, (each) => released(each, delayMs, this.#deps.clock.now()))
  }

  defer(refs: readonly LeaseRef[], delayMs: number, at?: AtQueue): Promise<string[]> {
    return this.#end(refs, at, (each) => deferred(each, delayMs))
  }

  reject(refs: readonly LeaseRef[], reason: string, at?: AtQueue): Promise<string[]> {
    return this.#end(refs, at, (each) => rejected(each, reason, this.#deps.clock.now()))
  }

  extend(refs: readonly LeaseRef[], lockMs: number, at?: AtQueue): Promise<string[]> {
    const { scripts } = this.#deps
    return this.#forEachShard(refs, at, (shard, held) => scripts.extend(shard, { held, lockMs }))
  }

  /** Ends leases without success. */
  #end(
    refs: readonly LeaseRef[],
    at: AtQueue | undefined,
    toRelease: (held: Proven) => Release,
  ): Promise<string[]> {
    const { scripts, metrics } = this.#deps
    return this.#forEachShard(refs, at, async (shard, held) => {
      const releases = held.map(toRelease)
      const { words, trimmed } = await scripts.release(shard, releases)
      recordTrimmed(this.#deps, shard, trimmed)
      for (const [i, word] of words.entries()) {
        const release = releases[i]
        if (word === 'lost' || release === undefined || !('reason' in release)) continue
        metrics.failed('pull', word === 'dead' ? 'dead' : 'retried', laneAt(at), release.reason)
      }
      const lost = held.filter((_, i) => words[i] === 'lost').map(({ id }) => id)
      recordEnds(this.#deps, held, lost, at)
      return lost
    })
  }

  /** Claims in one shard. @throws SchedulerError when Redis did not answer in time */
  async #claimIn(shard: number, lane: string, { limit, lockMs }: Order): Promise<Found<Leased>> {
    const { scripts, clock, logger, metrics } = this.#deps
    const secret = makeSecret(lane, { serverId: this.#deps.serverId, at: clock.now() })
    const call = scripts.lease(shard, { token: secret, lockMs, limit, lane })
    const reply = await withTimeout(call).catch((error: unknown) => {
      // If Redis answers later, no worker learns of these leases: they are put back.
      call
        .then(({ claims }) => {
          const releases = claims.map((claim) => returned(claim, secret))
          return this.#release(shard, releases)
        })
        .catch(() => undefined)
      throw error
    })
    clock.observe(reply.now)
    recordClaimMetrics(this.#deps, shard, reply)
    const claimed: Leased[] = []
    for (const claim of reply.claims) {
      const lease = toLease(claim, { shard, leasedAt: reply.now, secret })
      if (lease === null) {
        logger.error({ id: claim.id }, 'the record of a message cannot be read')
        void this.#release(shard, [{ id: claim.id, token: secret, ...UNREADABLE }])
        continue
      }
      metrics.deliveryStarted('pull', reply.now - claim.attemptDueAt, lane)
      claimed.push({ lease, shard, release: returned(claim, secret) })
    }
    return { claimed, nextDueInMs: reply.nextDueInMs, expiryInMs: reply.expiryInMs }
  }

  /** Claims in each shard in turn, until the limit is reached. */
  async #claimNow(lane: string, order: Order, signal: AbortSignal): Promise<readonly Leased[]> {
    const found: Leased[] = []
    const first = this.#nextShard
    const shards = this.#deps.shardMap.all
    this.#nextShard = (first + 1) % shards
    let failure: unknown
    for (let i = 0; i < shards && found.length < order.limit && !signal.aborted; i += 1) {
      const limit = order.limit - found.length
      try {
        const shard = (first + i) % shards
        found.push(...(await claimDue(() => this.#claimIn(shard, lane, { ...order, limit }))))
      } catch (error) {
        failure = error
        // Other shards of a cluster may work, but a worker waits at most once for a shard that does not answer.
        if (!failedImmediately(error)) break
      }
    }
    if (found.length === 0 && failure !== undefined) throw failure
    return found
  }

  /** Releases leases that no worker learned of, as if they had never existed. */
  #putBack(claimed: readonly Leased[]): void {
    for (const [shard, ofShard] of groupBy(claimed, (each) => each.shard)) {
      const releases = ofShard.map(({ release }) => release)
      void this.#release(shard, releases)
    }
  }

  /** Releases immediately; if that fails, the locks expire. */
  async #release(shard: number, releases: readonly Release[]): Promise<void> {
    if (releases.length === 0) return
    await this.#deps.scripts.release(shard, releases).catch(() => undefined)
  }

  /**
   * Calls `act` for each shard, and counts the lost leases.
   *
   * @param act returns the ids of the leases that were lost
   * @returns the ids of all lost leases, in the order of the refs
   */
  async #forEachShard(
    refs: readonly LeaseRef[],
    at: AtQueue | undefined,
    act: (shard: number, held: readonly Proven[]) => Promise<readonly string[]>,
  ): Promise<string[]> {
    const { shardMap, metrics } = this.#deps
    // A call names each id once: two leases of one message go into two calls.
    const calls: { readonly shard: number; readonly held: Map<string, Proven> }[] = []
    const callOf = refs.map((ref) => {
      const proof = decodeLeaseToken(ref.token)
      if (proof === undefined || proof.shard >= shardMap.all) return undefined
      if (at?.isOnly && !isForLane(proof, laneOfQueue(at.queue))) return undefined
      let call = calls.find(({ shard, held }) => shard === proof.shard && !held.has(ref.id))
      if (call === undefined) {
        call = { shard: proof.shard, held: new Map() }
        calls.push(call)
      }
      call.held.set(ref.id, { id: ref.id, token: proof.secret, proof })
      return call
    })
    const lost = await Promise.all(
      calls.map(async ({ shard, held }) => {
        const lostHere = act(shard, [...held.values()]).then((ids) => {
          if (ids.length > 0) metrics.locksLost(ids.length)
          return ids
        })
        return new Set(await withTimeout(lostHere))
      }),
    )
    const isLost = (ref: LeaseRef, i: number) => {
      const call = callOf[i]
      return call === undefined || lost[calls.indexOf(call)]?.has(ref.id)
    }
    return refs.filter(isLost).map(({ id }) => id)
  }
}
