import type { BatchSender, Delivery } from '../destinations/delivery.ts'
import { isPushed } from '../destinations/registry.ts'
import type { ClaimReply, ClaimScripts, ConsoleReply } from '../store/scripts/claim.ts'
import { backoffMs, type ClaimCall, type ClaimerDeps, callClaim, type Pass, passOf } from './claim-call.ts'
import { toDeliveries } from './deliveries.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Settlement } from './settle.ts'
import { ShardLoops, type ShardLoopsDeps } from './shard-loops.ts'

/** Batches in flight per shard while the next is claimed; more would only queue at the console. */
const BATCHES_IN_FLIGHT = 3

export interface ConsoleClaimerDeps extends ClaimerDeps, ShardLoopsDeps {
  readonly scripts: Pick<ClaimScripts, 'claim'>
  readonly console: BatchSender
  readonly dispatcher: Pick<Dispatcher, 'dispatch'>
  /** messages per claim */
  readonly limit: number
  /** told when the next message for hosts, and for streams, is due in a shard: ms, null if there is none */
  readonly onOthers?: (shard: number, others: Pick<ConsoleReply, 'hostsInMs' | 'streamsInMs'>) => void
  /** aborted when the grace is over: deliveries that have not begun are returned */
  readonly ending: AbortSignal
}

/** The batches of one shard at the console. */
interface Backlog {
  readonly inFlight: Set<Promise<void>>
  /** consecutive batches of which it has accepted nothing */
  refusals: number
  /** monotonic ms: no batch before this time */
  pausedUntil: number
  /** whether the loop waits for a change here */
  isAwaited: boolean
}

/**
 * Claims due messages for the console, shard by shard, and delivers them in batches. It claims nothing in a shard that
 * has BATCHES_IN_FLIGHT, or whose last batch the console did not accept.
 */
export class ConsoleClaimer {
  readonly loops: ShardLoops
  readonly #deps: ConsoleClaimerDeps
  readonly #backlogs = new Map<number, Backlog>()

  constructor(deps: ConsoleClaimerDeps) {
    this.#deps = deps
    this.loops = new ShardLoops(deps, {
      pass: (shard) => this.claimOnce(shard),
      busyForMs: (shard) => this.#busyForMs(shard),
    })
  }

  /** Whether the console has accepted nothing of the last batch of any shard. */
  isStuck(): boolean {
    return [...this.#backlogs.values()].some(({ refusals }) => refusals > 0)
  }

  /** Stops claiming. @returns once all claimed messages are settled, or cannot be */
  async stop(): Promise<void> {
    await this.loops.stop()
    await this.idle()
  }

  /** Resolves when nothing is in flight. */
  async idle(): Promise<void> {
    await Promise.all([...this.#backlogs.values()].flatMap(({ inFlight }) => [...inFlight]))
  }

  #backlogOf(shard: number): Backlog {
    let backlog = this.#backlogs.get(shard)
    if (backlog === undefined) {
      backlog = { inFlight: new Set(), refusals: 0, pausedUntil: 0, isAwaited: false }
      this.#backlogs.set(shard, backlog)
    }
    return backlog
  }

  #busyForMs(shard: number): number {
    const backlog = this.#backlogOf(shard)
    const isFull = backlog.inFlight.size >= BATCHES_IN_FLIGHT
    const busyMs = isFull ? Number.POSITIVE_INFINITY : backlog.pausedUntil - performance.now()
    backlog.isAwaited = busyMs > 0
    return busyMs
  }

  /** Claims due messages in a shard, and starts their delivery. @throws SchedulerError when Redis did not answer */
  async claimOnce(shard: number): Promise<Pass> {
    const { scripts, ownership } = this.#deps
    const backlog = this.#backlogOf(shard)
    // A claimed message waits while the console is stuck: one is enough to try.
    const limit = backlog.refusals > 0 ? 1 : ownership.batchShare(this.#deps.limit)
    const call = await callClaim(this.#deps, shard, (args) => scripts.claim(shard, { ...args, limit }))
    if (call.reply.claims.length > 0) {
      const settled = this.#deliver(call, backlog).then(() => {
        backlog.inFlight.delete(settled)
        if (backlog.isAwaited || backlog.refusals > 0) this.loops.claimWithin(shard, 0)
      })
      backlog.inFlight.add(settled)
    }
    this.#deps.onOthers?.(shard, call.reply)
    return passOf(call.reply)
  }

  /** Delivers and settles a batch. Never rejects. */
  async #deliver(call: ClaimCall<ClaimReply>, backlog: Backlog): Promise<void> {
    const { console, dispatcher, metrics, settleQueue, ending } = this.#deps
    const { readable, unreadable } = toDeliveries(this.#deps, call, () => '', isForServers)
    const batch: Delivery[] = []
    for (const { delivery } of readable) {
      // Its URL has no host that the scripts can find.
      if (isPushed(delivery.destination.type)) dispatcher.dispatch(delivery, call.startBy, call.lockEndsAt)
      else batch.push(delivery)
    }
    for (const { attemptDueAt } of batch)
      metrics.deliveryStarted('console', call.reply.now - attemptDueAt, '')
    const outcomes = batch.length === 0 ? [] : await console.deliver(batch, call.startBy, ending)
    const settlements = batch.map(
      (delivery, i): Settlement => ({ delivery, outcome: outcomes[i] ?? { kind: 'returned' } }),
    )
    await settleQueue.add([...settlements, ...unreadable], () => call.lockEndsAt)
    const isTaken = outcomes.length === 0 || outcomes.some(({ kind }) => kind !== 'returned')
    backlog.refusals = isTaken ? 0 : backlog.refusals + 1
    backlog.pausedUntil = isTaken ? 0 : performance.now() + backoffMs(backlog.refusals)
  }
}

const isForServers = ({ destination }: Delivery): boolean =>
  destination.type === 'console' || isPushed(destination.type)
