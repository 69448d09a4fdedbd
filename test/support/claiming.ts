import { pino } from 'pino'
import { onTestFinished } from 'vitest'
import type { BatchSender, Delivery, Outcome } from '../../src/destinations/delivery.ts'
import { createShardOwnership } from '../../src/membership/ownership.ts'
import { encodeRecordBody } from '../../src/records/record.ts'
import type { CancelSignal } from '../../src/runtime/cancel-signal.ts'
import type { ShardMap } from '../../src/shards/shard-map.ts'
import { createRedisClock } from '../../src/store/redis-clock.ts'
import type { ClaimRoom } from '../../src/store/scripts/claim.ts'
import type { ScheduleEntry } from '../../src/store/scripts/schedule.ts'
import type { Scripts } from '../../src/store/scripts/scripts.ts'
import { type ClaimLoop, createClaimLoop } from '../../src/worker/claim-loop.ts'
import { createDispatcher } from '../../src/worker/dispatcher.ts'
import { createHostSlots, type HostSlots } from '../../src/worker/host-slots.ts'
import { createLockKeeper } from '../../src/worker/lock-keeper.ts'
import { SettleQueue } from '../../src/worker/settle-queue.ts'
import { type NotedMetrics, noteMetrics } from './noted-metrics.ts'
import type { ScriptWorld } from './script-world.ts'
import { shardMapOf } from './shards.ts'

/** A delivery that a sender of the test's own has begun. */
export interface Sent {
  readonly delivery: Delivery
  readonly signal: CancelSignal
  readonly end: (outcome: Outcome) => void
  hasEnded: boolean
}

interface ClaimCall {
  readonly shard: number
  readonly room: ClaimRoom
  readonly at: number
}

/** A claim loop with all that it works with, on a real Redis, that sends webhooks as the test says. */
export interface Claiming {
  readonly loop: ClaimLoop
  readonly slots: HostSlots
  readonly noted: NotedMetrics
  /** every claim call so far */
  readonly calls: readonly ClaimCall[]
  /** claim calls under way that were told of free slots, at most at a time */
  offersAtOnce(): number
  /** every delivery begun so far */
  readonly sent: readonly Sent[]
  /** those begun and not ended */
  inFlight(): readonly Sent[]
  /** deliveries under way, at most at a time: to one host, and in all */
  readonly most: { toOne: number; inAll: number }
}

export interface ClaimingOptions {
  readonly shardMap?: ShardMap
  readonly shards?: number
  readonly lockMs?: number
  readonly total?: number
  readonly perHost?: number
  /** messages for the console per claim */
  readonly limit?: number
  readonly console?: BatchSender
  /** answers what is sent; what it leaves alone hangs until the test ends it, or until it is broken off */
  readonly answer?: (sent: Sent) => void
  /** how a delivery ends that is broken off; "returned" unless given */
  readonly breaksOff?: Outcome
  /** around the real scripts */
  readonly scripts?: Scripts
}

export const DELIVERED: Outcome = { kind: 'delivered' }

const RETURNED: Outcome = { kind: 'returned' }

export const consoleTaking = (got: string[] = []): BatchSender => ({
  async deliver(batch) {
    got.push(...batch.map(({ id }) => id))
    return batch.map(() => DELIVERED)
  },
})

export const hostOf = ({ destination }: Delivery): string =>
  destination.type === 'webhook' ? new URL(String(destination.url)).host : ''

export const webhookEntry = (id: string, dueAt: number, host = 'one.test'): ScheduleEntry => ({
  id,
  due: { at: dueAt },
  rule: 'any',
  body: encodeRecordBody('1', { destination: { type: 'webhook', url: `https://${host}/hook` } }),
})

/** Not started; stopped at the end of the test. */
export function claimingOn(w: ScriptWorld, options: ClaimingOptions = {}): Claiming {
  const {
    shards = 1,
    shardMap = shardMapOf(shards),
    lockMs = 60_000,
    total = 256,
    perHost = 32,
    limit = 100,
    breaksOff = RETURNED,
  } = options
  const noted = noteMetrics()
  const { metrics } = noted
  const logger = pino({ level: 'silent' })
  const calls: ClaimCall[] = []
  let offers = 0
  let offersAtOnce = 0
  const real = options.scripts ?? w.scripts
  const scripts: Scripts = {
    ...real,
    async claim(shard, args) {
      calls.push({ shard, room: args.room, at: performance.now() })
      if (args.room.hostSlots === 0) return real.claim(shard, args)
      offers += 1
      offersAtOnce = Math.max(offersAtOnce, offers)
      return real.claim(shard, args).finally(() => {
        offers -= 1
      })
    },
  }

  const sent: Sent[] = []
  const inFlight = () => sent.filter(({ hasEnded }) => !hasEnded)
  const most = { toOne: 0, inAll: 0 }
  const sender = {
    send: (delivery: Delivery, signal: CancelSignal, onReleased = () => {}) =>
      new Promise<Outcome>((resolve) => {
        const one: Sent = {
          ...{ delivery, signal, hasEnded: false },
          end(outcome) {
            if (one.hasEnded) return
            one.hasEnded = true
            onReleased()
            resolve(outcome)
          },
        }
        sent.push(one)
        const now = inFlight()
        const toOne = now.filter((other) => hostOf(other.delivery) === hostOf(delivery)).length
        most.toOne = Math.max(most.toOne, toOne)
        most.inAll = Math.max(most.inAll, now.length)
        signal.addEventListener('abort', () => one.end(breaksOff))
        options.answer?.(one)
      }),
    close: async () => undefined,
  }

  const ending = new AbortController()
  const slots = createHostSlots({ total, perHost, onFree: () => loop.slotFreed() })
  const settleQueue = new SettleQueue({ scripts, logger, metrics }, ending.signal)
  const lockKeeper = createLockKeeper({ scripts, lockMs, logger, metrics })
  const dispatcher = createDispatcher({ sender, slots, lockKeeper, settleQueue, metrics }, ending.signal)
  let claims = 0
  const loop = createClaimLoop({
    ...{
      scripts,
      clock: createRedisClock(),
      dispatcher,
      settleQueue,
      slots,
      ownership: createShardOwnership('test', () => shardMap.all),
      logger,
      metrics,
      shardMap,
      lockMs,
      limit,
      ending,
    },
    console: options.console ?? consoleTaking(),
    nextToken: () => `test:${++claims}`,
  })
  onTestFinished(() => loop.stop({ graceMs: 0 }))
  return { loop, slots, noted, calls, offersAtOnce: () => offersAtOnce, sent, inFlight, most }
}
