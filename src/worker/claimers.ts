import type { ShardOwnership } from '../membership/ownership.ts'
import { sleep } from '../runtime/sleep.ts'
import { laneOfQueue } from '../store/keys.ts'
import { ClaimErrorLog } from './claim-error-log.ts'
import { ConsoleClaimer, type ConsoleClaimerDeps } from './console-claimer.ts'
import type { Dispatcher } from './dispatcher.ts'
import { PushClaimer, type PushClaimerDeps } from './push-claimer.ts'
import { StreamMover, type StreamMoverDeps } from './stream-mover.ts'

/** After this time a delivery that cannot be cancelled (a write that hangs) is left for recovery. */
const CANCEL_WITHIN_MS = 2_000

export type ClaimersDeps = Omit<
  ConsoleClaimerDeps & PushClaimerDeps & StreamMoverDeps,
  'errors' | 'ending' | 'onOthers'
> & {
  readonly dispatcher: Dispatcher
  readonly ownership: ShardOwnership
  /** aborted here when the grace is over */
  readonly ending: AbortController
}

/** Claims and delivers due messages: one claimer for each kind of destination, started and stopped together. */
export class Claimers {
  readonly #deps: ClaimersDeps
  readonly #console: ConsoleClaimer
  readonly #push: PushClaimer
  readonly #streams: StreamMover

  constructor(deps: ClaimersDeps) {
    const errors = new ClaimErrorLog(deps.logger)
    const ending = deps.ending.signal
    this.#deps = deps
    this.#push = new PushClaimer({ ...deps, errors: errors.of('push') })
    this.#streams = new StreamMover({ ...deps, errors: errors.of('streams') })
    this.#console = new ConsoleClaimer({
      ...{ ...deps, ending, errors: errors.of('console') },
      onOthers: (shard, { hostsInMs, streamsInMs }) => {
        if (hostsInMs !== null) this.#push.notice(shard, hostsInMs)
        if (streamsInMs !== null) this.#streams.loops.notice(shard, streamsInMs)
      },
    })
  }

  /** Idempotent. */
  start(): void {
    this.#console.loops.start()
    this.#push.start()
    this.#streams.loops.start()
  }

  /** A message becomes due in a lane: its claimer checks in `inMs`, a standby server a little later. */
  wake(shard: number, inMs: number, lane: string): void {
    if (lane === '') this.#console.loops.wake(shard, inMs)
    else if (lane === 'stream') this.#streams.loops.wake(shard, inMs)
    // Pull workers claim from queues.
    else if (!lane.startsWith(laneOfQueue(''))) this.#push.wake(shard, inMs, lane)
  }

  /** More messages are due in a shard than one claim takes: helps its owner. */
  help(shard: number): void {
    const inMs = this.#deps.ownership.requestHelp(shard)
    if (inMs === null) return
    this.#console.loops.claimWithin(shard, inMs)
    this.#push.claimWithin(shard, inMs)
    this.#streams.loops.claimWithin(shard, inMs)
  }

  /** Whether the console has accepted nothing of the last batch of any shard. */
  isStuck(): boolean {
    return this.#console.isStuck()
  }

  /** Claims immediately in all shards: Redis is back, or what is paused has changed. */
  wakeAll(): void {
    this.#console.loops.wakeAll()
    this.#push.wakeAll()
    this.#streams.loops.wakeAll()
  }

  /** A slot for a pushed message has become free. */
  slotFreed(): void {
    this.#push.slotFreed()
  }

  /**
   * Stops claiming, lets deliveries finish for `graceMs`, releases the rest. Idempotent; may be called before start().
   * @returns once nothing is running, or what is running cannot be cancelled
   */
  async stop({ graceMs }: { graceMs: number }): Promise<void> {
    const { dispatcher, ending } = this.#deps
    const stopped = [this.#console.stop(), this.#push.stop(), this.#streams.loops.stop()]
    const finished = Promise.all(stopped).then(() => dispatcher.idle())
    await within(finished, graceMs)
    ending.abort()
    await within(finished, CANCEL_WITHIN_MS)
  }
}

async function within(finished: Promise<void>, ms: number): Promise<void> {
  const over = new AbortController()
  await Promise.race([finished, sleep(ms, over.signal)])
  over.abort()
}
