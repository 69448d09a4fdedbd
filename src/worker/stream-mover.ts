import type { Delivery } from '../destinations/delivery.ts'
import type { ClaimScripts, StreamClaim } from '../store/scripts/claim.ts'
import { type ClaimerDeps, callClaim, OWN_POLL_MS, type Pass, passOf } from './claim-call.ts'
import { toDeliveries } from './deliveries.ts'
import type { Settlement } from './settle.ts'
import { ShardLoops, type ShardLoopsDeps } from './shard-loops.ts'

export interface StreamMoverDeps extends ClaimerDeps, ShardLoopsDeps {
  readonly scripts: Pick<ClaimScripts, 'moveToStreams'>
  /** messages per call */
  readonly limit: number
}

/** Moves due messages into their streams, shard by shard: one script claims, delivers and settles them. */
export class StreamMover {
  readonly loops: ShardLoops
  readonly #deps: StreamMoverDeps

  constructor(deps: StreamMoverDeps) {
    this.#deps = deps
    this.loops = new ShardLoops(deps, { pass: (shard) => this.moveOnce(shard), pollMs: OWN_POLL_MS })
  }

  /** Moves due messages, and settles those that could not be moved. @throws SchedulerError when Redis did not answer */
  async moveOnce(shard: number): Promise<Pass> {
    const { scripts, ownership, metrics, settleQueue } = this.#deps
    const limit = ownership.batchShare(this.#deps.limit)
    const call = await callClaim(this.#deps, shard, (args) =>
      scripts.moveToStreams(shard, { ...args, limit }),
    )
    const { moved, now } = call.reply
    for (const lateMs of moved) metrics.deliveryStarted('stream', lateMs, 'stream')
    if (moved.length > 0) metrics.delivered('stream', moved.length, 'stream')
    const { readable, unreadable } = toDeliveries(this.#deps, call, () => 'stream', wasRefused)
    const refused = readable.map(({ delivery, claim }) => refusedSettlement(delivery, claim, now))
    await settleQueue.add([...refused, ...unreadable], () => call.lockEndsAt)
    const pass = passOf(call.reply)
    return { ...pass, lateMs: Math.max(pass.lateMs, ...moved) }
  }
}

/** Otherwise the script could not read it. */
const wasRefused = (_delivery: Delivery, { streamError }: StreamClaim): boolean => streamError !== ''

const refusedSettlement = (
  delivery: Delivery,
  { streamError, number }: StreamClaim,
  now: number,
): Settlement => ({
  delivery,
  outcome: {
    kind: 'failed',
    reason: streamError,
    report: {
      at: now,
      claim: number,
      durationMs: 0,
      error: 'Redis refused to add the message to its stream',
    },
  },
})
