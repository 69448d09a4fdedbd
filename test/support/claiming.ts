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
import { UNTOLD } from './untold.ts'

/** A delivery that the sender of a test has started. */
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

/** The claimers of a server on a real Redis, with a sender that the test controls. */
export interface Claiming {
  readonly claimers: Claimers
  readonly slots: Slots
  readonly noted: NotedMetrics
  /** every claim call so far */
  readonly calls: readonly ClaimCall[]
  /** the number of claim calls for a kind */
  callsOf(kind: ClaimCall['of']): number
  /** the highest number of concurrent claim calls for hosts */
  offersAtOnce(): number
  /** every delivery started so far */
  readonly sent: readonly Sent[]
  /** the deliveries in flight */
  underWay(): readonly Sent[]
  /** the highest number of deliveries in flight, to one host and in total */
  readonly most: { toOne: number; inAll: number }
}

export interface ClaimingOptions {
  readonly shardMap?: ShardMap
  readonly shards?: number
  readonly lockMs?: number
  readonly total?: number
  readonly perHost?: number
  /** the limit of a claim for the console */
  readonly limit?: number
  readonly console?: BatchSender
  /** answers what is sent; a delivery that it leaves alone hangs until the test ends it or it is cancelled */
  readonly answer?: (sent: Sent) => void
  /** how a cancelled delivery ends; "returned" unless given */
  readonly cancelledAs?: Outcome
  /** scripts to use instead of the real ones, which they call */
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

/** Wraps scripts, and records every claim call. */
function noteClaims(real: Scripts) {
  const calls: ClaimCall[] = []
  let offers = 0
  let offersAtOnce = 0
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
  return { scripts, calls, offersAtOnce: () => offersAtOnce }
}

/** A sender whose deliveries end when the test ends them, or when they are cancelled. */
function createHeldSender(cancelledAs: Outcome, answer: (sent: Sent) => void = () => {}) {
  const sent: Sent[] = []
  const underWay = () => sent.filter(({ hasEnded }) => !hasEnded)
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
        const now = underWay()
        const toOne = now.filter((other) => hostOf(other.delivery) === hostOf(delivery)).length
        most.toOne = Math.max(most.toOne, toOne)
        most.inAll = Math.max(most.inAll, now.length)
        signal.addEventListener('abort', () => one.end(cancelledAs))
        answer(one)
      }),
    close: async () => undefined,
  }
  return { sender, sent, underWay, most }
}

/** Creates claimers that are not started. They stop with the test. */
export function claimingOn(w: ScriptWorld, options: ClaimingOptions = {}): Claiming {
  const {
    shards = 1,
    shardMap = shardMapOf(shards),
    lockMs = 60_000,
    total = 256,
    perHost = 32,
    limit = 100,
  } = options
  const noted = noteMetrics()
  const { metrics } = noted
  const logger = pino({ level: 'silent' })
  const { scripts, calls, offersAtOnce } = noteClaims(options.scripts ?? w.scripts)
  const { sender, ...sending } = createHeldSender(options.cancelledAs ?? RETURNED, options.answer)
  const ending = new AbortController()
  const slots = createSlots({ total, perHost, onFree: () => claimers.slotFreed() })
  const settleQueue = new SettleQueue({ ...UNTOLD, scripts, logger, metrics }, ending.signal)
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
      events: UNTOLD.events,
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
  return { claimers, slots, noted, calls, callsOf, offersAtOnce, ...sending }
}

/** Long enough that a busy machine extends it in time. */
export const LOCK_MS = 3_000

/** An answer that ends a delivery as delivered after `ms`. */
export const answerAfter = (ms: number) => (sent: Sent) => void setTimeout(() => sent.end(DELIVERED), ms)

/** Schedules as many webhooks for each host, already due. @returns their ids, `<host>:<shard>:<i>` */
export async function scheduleWebhooks(w: ScriptWorld, hosts: readonly string[], each: number, shard = 0) {
  const due = (await w.now()) - 1_000
  const entries = hosts.flatMap((host) =>
    Array.from({ length: each }, (_, i) => webhookEntry(`${host}:${shard}:${i}`, due, host)),
  )
  await w.scripts.schedule(shard, entries)
  return entries.map(({ id }) => id)
}
