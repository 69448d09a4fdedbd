import { pino } from 'pino'
import { onTestFinished } from 'vitest'
import type { BatchSender, Delivery, Outcome } from '../../src/destinations/delivery.ts'
import { createShardOwnership } from '../../src/membership/ownership.ts'
import { encodeRecordBody } from '../../src/records/record.ts'
import type { CancelSignal } from '../../src/runtime/cancel-signal.ts'
import type { ShardMap } from '../../src/shards/shard-map.ts'
import { createRedisClock } from '../../src/store/redis-clock.ts'
import type { ScheduleEntry } from '../../src/store/scripts/schedule.ts'
import type { Scripts } from '../../src/store/scripts/scripts.ts'
import { Claimers } from '../../src/worker/claimers.ts'
import { createDispatcher } from '../../src/worker/dispatcher.ts'
import { createLockKeeper } from '../../src/worker/lock-keeper.ts'
import { SettleQueue } from '../../src/worker/settle-queue.ts'
import { createSlots, type Slots } from '../../src/worker/slots.ts'
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
  readonly of: 'console' | 'hosts' | 'streams'
  readonly shard: number
}

/** A server's claimers with all that they work with, on a real Redis, that sends webhooks as the test says. */
export interface Claiming {
  readonly claimers: Claimers
  readonly slots: Slots
  readonly noted: NotedMetrics
  /** every claim call so far */
  readonly calls: readonly ClaimCall[]
  /** those for this kind of destination */
  callsOf(kind: ClaimCall['of']): number
  /** claim calls in flight that were told of free slots, at most at a time */
  offersAtOnce(): number
  /** every delivery begun so far */
  readonly sent: readonly Sent[]
  /** those begun and not ended */
  underWay(): readonly Sent[]
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
    claim(shard, args) {
      calls.push({ of: 'console', shard })
      return real.claim(shard, args)
    },
    moveToStreams(shard, args) {
      calls.push({ of: 'streams', shard })
      return real.moveToStreams(shard, args)
    },
    claimHosts(shard, args) {
      calls.push({ of: 'hosts', shard })
      offers += 1
      offersAtOnce = Math.max(offersAtOnce, offers)
      return real.claimHosts(shard, args).finally(() => {
        offers -= 1
      })
    },
  }

  const sent: Sent[] = []
  const underWay = () => sent.filter(({ hasEnded }) => !hasEnded)
  const most = { toOne: 0, inAll: 0 }
  const sender = {
    send: (delivery: Delivery, signal: CancelSignal, onOver = () => {}) =>
      new Promise<Outcome>((resolve) => {
        const one: Sent = {
          ...{ delivery, signal, hasEnded: false },
          end(outcome) {
            if (one.hasEnded) return
            one.hasEnded = true
            onOver()
            resolve(outcome)
          },
        }
        sent.push(one)
        const now = underWay()
        const toOne = now.filter((other) => hostOf(other.delivery) === hostOf(delivery)).length
        most.toOne = Math.max(most.toOne, toOne)
        most.inAll = Math.max(most.inAll, now.length)
        signal.addEventListener('abort', () => one.end(breaksOff))
        options.answer?.(one)
      }),
    close: async () => undefined,
  }

  const ending = new AbortController()
  const slots = createSlots({ total, perHost, onFree: () => claimers.slotFreed() })
  const settleQueue = new SettleQueue({ scripts, logger, metrics }, ending.signal)
  const lockKeeper = createLockKeeper({ scripts, lockMs, logger, metrics })
  const dispatcher = createDispatcher({ sender, slots, lockKeeper, settleQueue, metrics }, ending.signal)
  let claims = 0
  const claimers = new Claimers({
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
  onTestFinished(() => claimers.stop({ graceMs: 0 }))
  const callsOf = (kind: ClaimCall['of']) => calls.filter(({ of }) => of === kind).length
  return { claimers, slots, noted, calls, callsOf, offersAtOnce: () => offersAtOnce, sent, underWay, most }
}
