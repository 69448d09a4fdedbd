import { SchedulerError } from '../domain/errors.ts'
import { createIdMaker } from '../domain/message-id.ts'
import type { EventSink } from '../events/sink.ts'
import type { Metrics } from '../observability/metrics.ts'
import { groupBy } from '../runtime/group-by.ts'
import { createShardRotation, type ShardRotation } from '../shards/shard-rotation.ts'
import type { RedisClock } from '../store/redis-clock.ts'
import type { ScheduleEntry, ScheduleScripts, ScheduleWord } from '../store/scripts/schedule.ts'
import { inCalls } from './call-budget.ts'
import type { Draft } from './draft.ts'
import type { Scheduled } from './new-message.ts'
import { createScheduleCalls, type ScheduleCalls } from './schedule-calls.ts'

/** Calls of one turn in flight per shard: enough that Redis never waits, few enough that other clients hardly do. */
const CALLS_IN_FLIGHT = 2

/** `createdAt` of a message whose id was made here is the time in the id: Redis's clock as last read. */
interface Committed extends Scheduled {
  /** it was not stored: the number of shards has changed, and its id may belong in another one by now */
  readonly moved?: true
}

interface Pending {
  readonly draft: Draft
  readonly resolve: (committed: Committed) => void
  readonly reject: (error: Error) => void
}

export interface GroupCommit {
  /**
   * Stores one message. It shares its script call with all others of this turn of the event loop.
   *
   * While Redis is away, the call is repeated until 1.2 s have passed without any answer. It is stored once, even if an
   * answer was lost, and the answer is the first one. A call that certainly did not run goes to another shard, with new
   * ids, if the client chose none. A failed shard gets no such messages until a probe succeeds.
   *
   * @returns once Redis has confirmed it
   * @throws SchedulerError DUE_TIME_PASSED, NOT_AFTER_TOO_SOON, ID_CONFLICT, STORE_FULL: not stored; STORE_UNAVAILABLE:
   *   not stored, or `outcomeUnknown` and, if it was, under `id`
   */
  add(draft: Draft): Promise<Committed>
}

export interface GroupCommitDeps {
  readonly scripts: Pick<ScheduleScripts, 'schedule'>
  readonly clock: RedisClock
  /** how many shards new messages go to at present */
  readonly shards: () => number
  readonly metrics: Pick<Metrics, 'scheduled'>
  readonly events: EventSink
  /** asks a shard for something that changes nothing */
  readonly probe: (shard: number) => Promise<unknown>
  /** @returns what no call of any server had before */
  readonly nextToken: () => string
  /** called when a stored message became the next one of its lane */
  readonly onNextDue: (shard: number, inMs: number, lane: string) => void
}

export function createGroupCommit(deps: GroupCommitDeps): GroupCommit {
  return new ScriptGroupCommit(deps)
}

class ScriptGroupCommit implements GroupCommit {
  readonly #clock: RedisClock
  readonly #rotation: ShardRotation
  readonly #calls: ScheduleCalls
  readonly #ids = createIdMaker()
  #collected: Pending[] = []

  constructor(deps: GroupCommitDeps) {
    this.#clock = deps.clock
    this.#rotation = createShardRotation(deps.shards, deps.probe)
    this.#calls = createScheduleCalls({ ...deps, rotation: this.#rotation })
  }

  add(draft: Draft): Promise<Committed> {
    return new Promise((resolve, reject) => {
      if (this.#collected.length === 0) setImmediate(() => this.#flush())
      this.#collected.push({ draft, resolve, reject })
    })
  }

  /** Messages whose id is made here go to one shard together; those of clients to the shard of their id. */
  #flush(): void {
    const all = this.#collected
    this.#collected = []
    // Taken also by a turn of nothing but clients' ids, which costs nothing.
    const shared = this.#rotation.next()
    const byShard = groupBy(all, ({ draft }) => draft.own?.shard ?? shared)
    for (const [shard, batch] of byShard) this.#commitInCalls(shard, batch)
  }

  /** One call at least; of several, the next is sent when one is answered. */
  #commitInCalls(shard: number, all: Pending[]): void {
    const batches = inCalls(all, ({ draft }) => draft)
    let lastError: unknown
    const sendNext = async () => {
      for (const batch of batches) {
        if (!this.#rotation.isHealthy(shard) && this.#canMove(shard, batch)) this.#move(shard, batch)
        else if (lastError === undefined) lastError = await this.#commit(shard, batch)
        else for (const pending of batch) pending.reject(notSent(lastError))
      }
    }
    for (let i = 0; i < CALLS_IN_FLIGHT; i += 1) void sendNext()
  }

  /**
   * @param since when the time began in which Redis has to answer, by `performance.now()`
   * @returns why Redis did not answer; undefined if it did, or if it is asked elsewhere
   */
  async #commit(shard: number, batch: readonly Pending[], since = performance.now()): Promise<unknown> {
    const madeAt = this.#clock.now()
    const entries = batch.map(({ draft: { own, due, future, body } }): ScheduleEntry => {
      if (own !== undefined) return { id: own.id, validUntil: own.validUntil, due, rule: 'client', body }
      return { id: this.#ids.next(shard, madeAt), due, rule: future ? 'future' : 'any', body }
    })
    try {
      const answer = await this.#calls.make(shard, entries, since, () => this.#canMove(shard, batch))
      if (answer === 'leave') {
        this.#move(shard, batch, since)
        return undefined
      }
      const { words, ranAt } = answer
      for (const [i, pending] of batch.entries()) {
        const { own, due } = pending.draft
        const dueAt = 'at' in due ? due.at : ranAt + due.inMs
        const createdAt = own === undefined ? madeAt : ranAt
        const stored = { id: entries[i]?.id ?? '', dueAt, createdAt, duplicate: false }
        this.#settle(pending, stored, words[i] ?? 'exists')
      }
      return undefined
    } catch (error) {
      const isUnavailable = error instanceof SchedulerError && error.code === 'STORE_UNAVAILABLE'
      for (const [i, pending] of batch.entries()) {
        const isUnknown = isUnavailable && error.outcomeUnknown && hasServerMadeId(pending)
        pending.reject(isUnknown ? unknownWithId(error, entries[i]?.id) : (error as Error))
      }
      return isUnavailable ? error : undefined
    }
  }

  #canMove(shard: number, batch: readonly Pending[]): boolean {
    return this.#rotation.hasOther(shard) && batch.some(hasServerMadeId)
  }

  /** The shard does not work: messages with ids made here go to another one, the others wait for it. */
  #move(shard: number, batch: readonly Pending[], since?: number): void {
    const withClientId = batch.filter((pending) => !hasServerMadeId(pending))
    if (withClientId.length > 0) void this.#commit(shard, withClientId, since)
    const withServerMadeId = batch.filter(hasServerMadeId)
    if (withServerMadeId.length > 0) void this.#commit(this.#rotation.next(), withServerMadeId, since)
  }

  #settle({ draft, resolve, reject }: Pending, stored: Committed, word: ScheduleWord): void {
    switch (word) {
      case 'scheduled':
        resolve(stored)
        break
      case 'exists':
        // Another server made the same id in the same millisecond: ours is stored under a new one.
        this.add(draft).then(resolve, reject)
        break
      case 'duplicate':
        resolve({ ...stored, duplicate: true })
        break
      case 'moved':
        resolve({ ...stored, moved: true })
        break
      case 'past':
        reject(new SchedulerError('DUE_TIME_PASSED', 'the due time has passed'))
        break
      case 'conflict':
        reject(new SchedulerError('ID_CONFLICT', 'the id is in use with different content'))
        break
      case 'expired':
        reject(new SchedulerError('NOT_AFTER_TOO_SOON', 'notAfter is before the due time'))
        break
      default:
        word satisfies never
    }
  }
}

const hasServerMadeId = ({ draft: { own } }: Pending) => own === undefined

/** The error for a message with an id made here, where it is unknown whether it was stored. */
const unknownWithId = (cause: SchedulerError, id: string | undefined) =>
  new SchedulerError('STORE_UNAVAILABLE', cause.message, { cause, outcomeUnknown: true, id })

/** The error for messages that waited for a call that Redis did not answer. */
const notSent = (cause: unknown) =>
  new SchedulerError('STORE_UNAVAILABLE', 'Redis did not answer the previous call', { cause })
