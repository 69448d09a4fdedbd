import type { Logger } from 'pino'
import { failedImmediately } from '../domain/errors.ts'
import { type ClaimMetricsDeps, recordClaimMetrics, recordTrimmed } from '../observability/claim-metrics.ts'
import { decodeRecord } from '../records/record.ts'
import { withTimeout } from '../runtime/time-limit.ts'
import type { ShardMap } from '../shards/shard-map.ts'
import { laneOfQueue } from '../store/keys.ts'
import type { RedisClock } from '../store/redis-clock.ts'
import type { Claim } from '../store/scripts/claim.ts'
import type { Scripts } from '../store/scripts/scripts.ts'
import type { Held, Release } from '../store/scripts/settle.ts'
import { decodeLeaseToken, encodeLeaseToken, isForLane, type LeaseToken, makeSecret } from './lease-token.ts'
import { createWaitingLines, type WaitingLines } from './waiting-lines.ts'

/** A message that a worker has claimed over HTTP. All times are epoch ms. */
export interface Lease {
  readonly id: string
  /** proves, together with the id, that the lease is the worker's */
  readonly token: string
  /** JSON text */
  readonly payload: string
  /** the message's own due time, whatever retries there were */
  readonly dueAt: number
  /** from 1: 1 + failures + recoveries */
  readonly attempt: number
  /** only ever grows for a message, so that whoever acts on it can refuse a late twin */
  readonly claim: number
  /** when this attempt was due */
  readonly attemptDueAt: number
  /** how late this attempt begins */
  readonly lateMs: number
}

/** What names a lease. */
export interface LeaseRef {
  readonly id: string
  readonly token: string
}

/**
 * Messages that workers pull, leased exactly as our own servers lease what they deliver. Every method throws
 * SchedulerError STORE_UNAVAILABLE when Redis did not confirm: what was asked may or may not have been done.
 */
export interface Leases {
  /**
   * Waits up to `waitMs` for something to lease.
   *
   * @returns none if nothing came, or if `signal` aborted: then nobody is there to take it
   */
  claim(
    queue: string,
    args: { limit: number; lockMs: number; waitMs: number },
    signal: AbortSignal,
  ): Promise<Lease[]>
  /** Undoes leases of which their worker could not be told, as if they had never been. */
  giveBack(leases: readonly Lease[]): void
  /**
   * Ends deliveries that went well.
   *
   * @param onlyOf the queue outside which all leases count as lost, as in all that follows; any queue if undefined
   * @returns the ids of the leases that were lost, in the order of the refs
   */
  acknowledge(refs: readonly LeaseRef[], onlyOf?: string): Promise<string[]>
  /**
   * Ends deliveries that failed.
   *
   * @param delayMs until they may be claimed again; null for the wait of each message's retry policy
   * @returns the ids of the leases that were lost, in the order of the refs
   */
  release(refs: readonly LeaseRef[], delayMs: number | null, onlyOf?: string): Promise<string[]>
  /** @param lockMs how long they hold from now @returns the ids of the leases that were lost, in the order of the refs */
  extend(refs: readonly LeaseRef[], lockMs: number, onlyOf?: string): Promise<string[]>
}

export interface LeasesDeps extends ClaimMetricsDeps {
  readonly scripts: Pick<Scripts, 'claim' | 'acknowledge' | 'release' | 'extend'>
  readonly clock: RedisClock
  readonly shardMap: Pick<ShardMap, 'all' | 'onGrow'>
  readonly logger: Logger
}

/** A lease, and what it takes to undo it. */
interface Leased {
  readonly lease: Lease
  readonly shard: number
  readonly release: Release
}

type Proven = Held & { readonly proof: LeaseToken }

/** How a claim is asked for nothing but when the next message is due. */
const PEEK = { limit: 0, streamLimit: 0, slots: 0, hostSlots: 0, reserve: 0 }
const PEEK_LOCK_MS = 1_000

export function createLeases(deps: LeasesDeps): Leases & Pick<WaitingLines<unknown>, 'wake' | 'wakeAll'> {
  const { scripts, clock, shardMap, logger, metrics } = deps
  let nextShard = Math.floor(Math.random() * shardMap.all)

  /** Claims in one shard. */
  async function claimIn(shard: number, lane: string, { limit, lockMs }: { limit: number; lockMs: number }) {
    const secret = makeSecret(lane)
    const room = { ...PEEK, slots: limit, lanes: new Map([[lane, limit]]) }
    const call = scripts.claim(shard, { token: secret, lockMs, room })
    const reply = await withTimeout(call).catch((error: unknown) => {
      // What Redis leases too late for anybody to hear of it would be held until its lock ends.
      call
        .then(({ claims }) =>
          giveBack(
            shard,
            claims.map((claim) => returned(claim, secret)),
          ),
        )
        .catch(() => undefined)
      throw error
    })
    clock.observe(reply.now)
    recordClaimMetrics(deps, shard, reply)
    const claimed: Leased[] = []
    for (const claim of reply.claims) {
      const lease = toLease(claim, { shard, leasedAt: reply.now, secret })
      if (lease === null) {
        logger.error({ id: claim.id }, 'the record of a message cannot be read')
        void giveBack(shard, [{ id: claim.id, token: secret, ...UNREADABLE }])
        continue
      }
      metrics.deliveryStarted('pull', reply.now - claim.attemptDueAt)
      claimed.push({ lease, shard, release: returned(claim, secret) })
    }
    return { ...reply, claimed }
  }

  /** What nobody has been told of goes back at once; should that fail, its locks run out. */
  async function giveBack(shard: number, releases: readonly Release[]): Promise<void> {
    if (releases.length === 0) return
    await scripts.release(shard, releases).catch(() => undefined)
  }

  function putBack(claimed: readonly Leased[]): void {
    for (const shard of new Set(claimed.map((each) => each.shard))) {
      const ofShard = claimed.filter((each) => each.shard === shard)
      void giveBack(
        shard,
        ofShard.map(({ release }) => release),
      )
    }
  }

  const lines = createWaitingLines<Leased>({
    shardMap,
    claimIn,
    putBack,
    async peek(shard, lanes) {
      const room = { ...PEEK, lanes: new Map(lanes.map((lane) => [lane, 0])) }
      const reply = await withTimeout(
        scripts.claim(shard, { token: makeSecret(''), lockMs: PEEK_LOCK_MS, room }),
      )
      recordClaimMetrics(deps, shard, reply)
      return reply
    },
  })

  /** One look into every shard in turn, until there is something. */
  async function claimNow(lane: string, order: { limit: number; lockMs: number }, signal: AbortSignal) {
    const found: Leased[] = []
    const first = nextShard
    const shards = shardMap.all
    nextShard = (nextShard + 1) % shards
    let lastError: unknown
    for (let i = 0; i < shards && found.length < order.limit && !signal.aborted; i += 1) {
      const limit = order.limit - found.length
      try {
        found.push(...(await claimIn((first + i) % shards, lane, { ...order, limit })).claimed)
      } catch (error) {
        lastError = error
        // Of a cluster's shards others may work, but whoever asks waits for one that says nothing only once.
        if (!failedImmediately(error)) break
      }
    }
    if (found.length === 0 && lastError !== undefined) throw lastError
    if (!signal.aborted) return found
    putBack(found)
    return []
  }

  /** Has `act` done by shard. @returns the ids of the leases that were lost, in the order of the refs */
  async function forEachShard(
    refs: readonly LeaseRef[],
    onlyOf: string | undefined,
    act: (shard: number, held: readonly Proven[]) => Promise<readonly string[]>,
  ): Promise<string[]> {
    // A call names each id once: of two leases of one message, which of them holds is for two calls.
    const calls: { readonly shard: number; readonly held: Map<string, Proven> }[] = []
    const callOf = refs.map((ref) => {
      const proof = decodeLeaseToken(ref.token)
      if (proof === undefined || proof.shard >= shardMap.all) return undefined
      if (onlyOf !== undefined && !isForLane(proof, laneOfQueue(onlyOf))) return undefined
      let call = calls.find(({ shard, held }) => shard === proof.shard && !held.has(ref.id))
      if (call === undefined) {
        call = { shard: proof.shard, held: new Map() }
        calls.push(call)
      }
      call.held.set(ref.id, { id: ref.id, token: proof.secret, proof })
      return call
    })
    const lost = await Promise.all(
      calls.map(async ({ shard, held }) => new Set(await withTimeout(act(shard, [...held.values()])))),
    )
    const isLost = (ref: LeaseRef, i: number) => {
      const call = callOf[i]
      return call === undefined || lost[calls.indexOf(call)]?.has(ref.id)
    }
    return refs.filter(isLost).map(({ id }) => id)
  }

  return {
    wake: lines.wake,
    wakeAll: lines.wakeAll,

    async claim(queue, { limit, lockMs, waitMs }, signal) {
      const lane = laneOfQueue(queue)
      const order = { limit, lockMs }
      const claimed = await (waitMs === 0
        ? claimNow(lane, order, signal)
        : lines.wait(lane, order, waitMs, signal))
      return claimed.map(({ lease }) => lease)
    },

    giveBack(given) {
      const byShard = new Map<number, Release[]>()
      for (const { id, token, attemptDueAt } of given) {
        const { shard = 0, secret = '' } = decodeLeaseToken(token) ?? {}
        const release = returned({ id, attemptDueAt }, secret)
        byShard.set(shard, [...(byShard.get(shard) ?? []), release])
      }
      for (const [shard, releases] of byShard) void giveBack(shard, releases)
    },

    acknowledge: (refs, onlyOf) =>
      forEachShard(refs, onlyOf, async (shard, held) => {
        const delivered = held.map(({ id, token, proof: { lateMs } }) => ({ id, token, lateMs }))
        const lost = await scripts.acknowledge(shard, delivered)
        metrics.delivered('pull', held.length - lost.length)
        recordLost(lost.length)
        return lost
      }),

    release: (refs, delayMs, onlyOf) =>
      forEachShard(refs, onlyOf, async (shard, held) => {
        const releases = held.map((each): Release => {
          const { id, token } = each
          const why = { reason: 'released', report: reportOf(each.proof, clock.now()) }
          return delayMs === null
            ? { id, token, why: 'failed', retryAfterMs: 0, ...why }
            : { id, token, why: 'postponed', delayMs, ...why }
        })
        const { words, trimmed } = await scripts.release(shard, releases)
        recordTrimmed(deps, shard, trimmed)
        for (const word of words) {
          if (word !== 'lost') metrics.failed('pull', word === 'dead' ? 'dead' : 'retried')
        }
        const lost = held.filter((_, i) => words[i] === 'lost').map(({ id }) => id)
        recordLost(lost.length)
        return lost
      }),

    extend: (refs, lockMs, onlyOf) =>
      forEachShard(refs, onlyOf, async (shard, held) => {
        const lost = await scripts.extend(shard, { held, lockMs })
        recordLost(lost.length)
        return lost
      }),
  }

  function recordLost(count: number): void {
    if (count > 0) metrics.locksLost(count)
  }
}

const UNREADABLE = { why: 'rejected', reason: 'unreadable', report: '' } as const

/** As if it had never been leased. */
const returned = ({ id, attemptDueAt }: Pick<Claim, 'id' | 'attemptDueAt'>, token: string): Release => ({
  ...{ id, token, why: 'returned', dueAt: attemptDueAt },
})

const reportOf = ({ leasedAt, claim }: LeaseToken, now: number): string =>
  JSON.stringify({ at: leasedAt, claim, durationMs: Math.max(0, now - leasedAt) })

/** Null for a record that makes no sense. */
function toLease(
  { id, number: claim, attemptDueAt, record, failures, recoveries }: Claim,
  { shard, leasedAt, secret }: Pick<LeaseToken, 'shard' | 'leasedAt' | 'secret'>,
): Lease | null {
  try {
    const { dueAt, payload } = decodeRecord(record)
    const lateMs = Math.max(0, leasedAt - dueAt)
    const token = encodeLeaseToken({ shard, leasedAt, lateMs, claim, secret })
    return { id, token, payload, dueAt, attemptDueAt, attempt: 1 + failures + recoveries, claim, lateMs }
  } catch {
    return null
  }
}
