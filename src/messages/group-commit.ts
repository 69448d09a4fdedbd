import { SchedulerError } from '../domain/errors.ts'
import type { Due } from '../domain/message.ts'
import { createIdMaker } from '../domain/message-id.ts'
import type { Metrics } from '../observability/metrics.ts'
import type { Placement } from '../shards/shard-map.ts'
import { createShardRotation } from '../shards/shard-rotation.ts'
import type { RedisClock } from '../store/redis-clock.ts'
import type { ScheduleEntry, ScheduleScripts, ScheduleWord } from '../store/scripts/schedule.ts'
import { inCalls } from './call-budget.ts'
import { createScheduleCalls } from './schedule-calls.ts'

/** Of the calls of one turn to one shard so many are on their way together: Redis never waits, others hardly do. */
const CALLS_IN_FLIGHT = 2

export interface Draft {
  /** the client's id and where it goes; without it, one is made */
  readonly own?: { readonly id: string } & Pick<Placement, 'shard' | 'validUntil'>
  readonly due: Due
  /** whether it has to be due in the future */
  readonly future: boolean
  /** see encodeRecordBody */
  readonly body: string
  /** names of the indexes it is entered in: one for each of its tags, and one for its lane */
  readonly indexes?: readonly string[]
}

interface Committed {
  readonly id: string
  /** when it will be delivered, epoch ms */
  readonly dueAt: number
  /** by Redis's clock, epoch ms; for an id that was made here, the last known time of that clock, as the id has it */
  readonly createdAt: number
  /** a message of this id and content was there already */
  readonly duplicate: boolean
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
  /** asks a shard for something that changes nothing */
  readonly probe: (shard: number) => Promise<unknown>
  /** @returns what no call of any server had before */
  readonly nextToken: () => string
  /** told when a message of ours became the next one of its shard */
  readonly onNextDue: (shard: number, inMs: number, lane: string) => void
}

export function createGroupCommit(deps: GroupCommitDeps): GroupCommit {
  const { clock, shards, probe } = deps
  const ids = createIdMaker()
  let collected: Pending[] = []
  const rotation = createShardRotation(shards, probe)
  const calls = createScheduleCalls({ ...deps, rotation })

  /** Messages whose id is made here go to one shard together; those of clients to the shard of their id. */
  function flush(): void {
    const all = collected
    collected = []
    // Taken also by a turn of nothing but clients' ids, which costs nothing.
    const shared = rotation.next()
    const byShard = new Map<number, Pending[]>()
    for (const pending of all) {
      const shard = pending.draft.own?.shard ?? shared
      const batch = byShard.get(shard)
      if (batch === undefined) byShard.set(shard, [pending])
      else batch.push(pending)
    }
    for (const [shard, batch] of byShard) commitInCalls(shard, batch)
  }

  /** One call at least; of several, the next is sent when one is answered. */
  function commitInCalls(shard: number, all: Pending[]): void {
    const batches = inCalls(all, ({ draft }) => draft)
    let lastError: unknown
    const sendNext = async () => {
      for (const batch of batches) {
        if (!rotation.isHealthy(shard) && rotation.hasOther(shard) && batch.some(hasServerMadeId))
          moveToOtherShard(shard, batch)
        else if (lastError === undefined) lastError = await commit(shard, batch)
        else reject(batch, notSent(lastError))
      }
    }
    for (let i = 0; i < CALLS_IN_FLIGHT; i += 1) void sendNext()
  }

  /**
   * @param since when the time began in which Redis has to answer, by `performance.now()`
   * @returns why Redis did not answer; undefined if it did, or if it is asked elsewhere
   */
  async function commit(
    shard: number,
    batch: readonly Pending[],
    since = performance.now(),
  ): Promise<unknown> {
    const madeAt = clock.now()
    const entries = batch.map(({ draft: { own, due, future, body } }): ScheduleEntry => {
      if (own !== undefined) return { id: own.id, validUntil: own.validUntil, due, rule: 'client', body }
      return { id: ids.next(shard, madeAt), due, rule: future ? 'future' : 'any', body }
    })
    const canMove = () => rotation.hasOther(shard) && batch.some(hasServerMadeId)
    try {
      const answer = await calls.make(shard, entries, since, canMove)
      if (answer === 'leave') {
        moveToOtherShard(shard, batch, since)
        return undefined
      }
      const { words, ranAt } = answer
      for (const [i, pending] of batch.entries()) {
        const { own, due } = pending.draft
        const dueAt = 'at' in due ? due.at : ranAt + due.inMs
        const createdAt = own === undefined ? madeAt : ranAt
        const stored = { id: entries[i]?.id ?? '', dueAt, createdAt, duplicate: false }
        settle(pending, stored, words[i] ?? 'exists')
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

  /** The shard does not work: who may goes to another, the others wait for it. */
  function moveToOtherShard(shard: number, batch: readonly Pending[], since?: number): void {
    const withClientId = batch.filter((pending) => !hasServerMadeId(pending))
    if (withClientId.length > 0) void commit(shard, withClientId, since)
    const withServerMadeId = batch.filter(hasServerMadeId)
    if (withServerMadeId.length > 0) void commit(rotation.next(), withServerMadeId, since)
  }

  function settle({ draft, resolve, reject }: Pending, stored: Committed, word: ScheduleWord): void {
    switch (word) {
      case 'scheduled':
        resolve(stored)
        break
      case 'exists':
        // Another server made the same id in the same millisecond: ours is stored under a new one.
        add(draft).then(resolve, reject)
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

  function add(draft: Draft): Promise<Committed> {
    return new Promise((resolve, reject) => {
      if (collected.length === 0) setImmediate(flush)
      collected.push({ draft, resolve, reject })
    })
  }
  return { add }
}

const hasServerMadeId = ({ draft: { own } }: Pending) => own === undefined

/** What a message without an id of the client's is told when nobody knows whether it is stored. */
const unknownWithId = (cause: SchedulerError, id: string | undefined) =>
  new SchedulerError('STORE_UNAVAILABLE', cause.message, { cause, outcomeUnknown: true, id })

/** What those are told that waited behind a call which Redis did not answer. */
const notSent = (cause: unknown) =>
  new SchedulerError('STORE_UNAVAILABLE', 'Redis did not answer the previous call', { cause })

function reject(batch: readonly Pending[], error: Error): void {
  for (const pending of batch) pending.reject(error)
}
