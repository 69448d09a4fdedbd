import { setTimeout as delay } from 'node:timers/promises'
import { SchedulerError } from '../errors.ts'
import type { Due } from '../message.ts'
import { createIdMaker } from '../message-id.ts'
import type { Metrics } from '../metrics.ts'
import type { RedisClock } from '../redis/redis-clock.ts'
import type { ScheduleEntry, ScheduleWord, Scripts } from '../redis/scripts.ts'
import { ANSWER_WITHIN_MS, withinTime } from '../redis/within-time.ts'
import type { Place } from '../shard-book.ts'
import { createShardTurns } from './shard-turns.ts'

/** One script call takes this much at most, which keeps it to a few milliseconds. */
const CALL_MESSAGES = 1_000
const CALL_CHARACTERS = 4_194_304
const FIRST_RETRY_MS = 25
/** A shard that has not answered for so long may be on a master that hangs: those who come meanwhile go elsewhere. */
const SLOW_MS = 300

export interface Draft {
  /** the client's id and where it goes; without it, one is made */
  readonly own?: { readonly id: string } & Pick<Place, 'shard' | 'closesAt'>
  readonly due: Due
  /** whether it has to be due in the future */
  readonly future: boolean
  /** see encodeRecordBody */
  readonly body: string
}

export interface Committed {
  readonly id: string
  /** when it will be delivered, epoch ms */
  readonly dueAt: number
  /** by Redis's clock, epoch ms; for an id that was made here as that clock was last heard of, which the id tells, too */
  readonly createdAt: number
  /** a message of this id and content was there already */
  readonly duplicate: boolean
  /** it was not stored: the number of shards has changed, and its id may belong in another one by now */
  readonly moved?: true
}

interface Pending {
  readonly draft: Draft
  readonly enteredAt: number
  readonly resolve: (committed: Committed) => void
  readonly reject: (error: Error) => void
}

export interface GroupCommit {
  /**
   * Stores one message, sharing its script call with all others handed in during this turn of the event loop.
   *
   * While Redis is away the call is repeated with the same ids until 1.2 s have gone by. That is safe: a
   * message that an unanswered call did store is found by its id, and one that may have come due in between,
   * which may be delivered and forgotten by now, is not stored again. A call that certainly did not run is made in
   * another shard instead, with new ids, for messages without one of the client's; and a shard that failed gets no
   * further such messages for a while.
   *
   * @returns once Redis has confirmed it
   * @throws SchedulerError DUE_TIME_PASSED, NOT_AFTER_TOO_SOON, ID_CONFLICT, STORE_FULL: not stored;
   *   STORE_UNAVAILABLE: perhaps stored
   */
  add(draft: Draft): Promise<Committed>
}

export interface GroupCommitDeps {
  readonly scripts: Pick<Scripts, 'schedule'>
  readonly clock: RedisClock
  /** how many shards new messages go to at present */
  readonly shards: () => number
  readonly metrics: Pick<Metrics, 'scheduled'>
  /** told when a message of ours became the next one of its shard */
  readonly onHead: (shard: number, inMs: number) => void
}

export function createGroupCommit({ scripts, clock, shards, onHead, metrics }: GroupCommitDeps): GroupCommit {
  const ids = createIdMaker()
  let turn: Pending[] = []
  const turns = createShardTurns(shards)

  /** Messages whose id is made here go to one shard together; those of clients to the shard of their id. */
  function flush(): void {
    const all = turn
    turn = []
    // Taken also by a turn of nothing but clients' ids, which costs nothing.
    const shared = turns.next()
    const byShard = new Map<number, Pending[]>()
    for (const pending of all) {
      const shard = pending.draft.own?.shard ?? shared
      const batch = byShard.get(shard)
      if (batch === undefined) byShard.set(shard, [pending])
      else batch.push(pending)
    }
    for (const [shard, batch] of byShard) commitInCalls(shard, batch)
  }

  function commitInCalls(shard: number, all: Pending[]): void {
    let batch: Pending[] = []
    let characters = 0
    for (const pending of all) {
      batch.push(pending)
      characters += pending.draft.body.length
      if (batch.length === CALL_MESSAGES || characters >= CALL_CHARACTERS) {
        void commit(shard, batch)
        batch = []
        characters = 0
      }
    }
    if (batch.length > 0) void commit(shard, batch)
  }

  async function commit(shard: number, batch: readonly Pending[]): Promise<void> {
    const madeAt = clock.now()
    const entries = batch.map(({ draft: { own, due, future, body } }): ScheduleEntry => {
      if (own !== undefined) return { id: own.id, closesAt: own.closesAt, due, rule: 'client', body }
      return { id: ids.next(shard, madeAt), due, rule: future ? 'future' : 'any', body }
    })
    const isFree = ({ draft: { own } }: Pending) => own === undefined
    const canLeave = () => turns.hasOther(shard) && batch.some(isFree)
    try {
      const answer = await scheduleUntilAnswered(shard, entries, batch[0]?.enteredAt ?? 0, canLeave)
      if (answer === 'leave') {
        const bound = batch.filter((pending) => !isFree(pending))
        if (bound.length > 0) void commit(shard, bound)
        return void commit(turns.next(), batch.filter(isFree))
      }
      const { words, now, repeated } = answer
      for (const [i, pending] of batch.entries()) {
        const { own, due } = pending.draft
        const dueAt = 'at' in due ? due.at : now + due.inMs
        const createdAt = own === undefined ? madeAt : now
        const stored = { id: entries[i]?.id ?? '', dueAt, createdAt, duplicate: false }
        settle(pending, stored, words[i] ?? 'exists', repeated)
      }
    } catch (error) {
      for (const { reject } of batch) reject(error as Error)
    }
  }

  function settle(
    { draft, resolve, reject }: Pending,
    stored: Committed,
    word: ScheduleWord,
    repeated: boolean,
  ): void {
    switch (word) {
      case 'scheduled':
        resolve(stored)
        break
      case 'exists':
        // If the call was repeated, this is our own message. If not, another server made the same id in the
        // same millisecond, and ours is stored under a new one.
        if (repeated) resolve(stored)
        else add(draft).then(resolve, reject)
        break
      case 'duplicate':
        resolve({ ...stored, duplicate: true })
        break
      case 'moved':
        resolve({ ...stored, moved: true })
        break
      case 'past':
        reject(
          repeated
            ? new SchedulerError('STORE_UNAVAILABLE', 'Redis was away until after the due time', {
                perhapsDone: true,
              })
            : new SchedulerError('DUE_TIME_PASSED', 'the due time has passed'),
        )
        break
      case 'conflict':
        reject(new SchedulerError('ID_CONFLICT', 'the id is known, with other content'))
        break
      case 'expired':
        reject(new SchedulerError('NOT_AFTER_TOO_SOON', 'notAfter lies before the due time'))
        break
      default:
        word satisfies never
    }
  }

  /** @returns 'leave' when it certainly did not run, and `canLeave` says so */
  async function scheduleUntilAnswered(
    shard: number,
    entries: readonly ScheduleEntry[],
    since: number,
    canLeave: () => boolean,
  ) {
    const answerBy = since + ANSWER_WITHIN_MS
    let repeated = false
    let attempt = entries
    for (let wait = FIRST_RETRY_MS; ; wait *= 2) {
      const sentAt = performance.now()
      const slow = setTimeout(() => turns.failed(shard), SLOW_MS)
      try {
        const { words, headInMs, now, gone } = await withinTime(
          scripts.schedule(shard, attempt),
          answerBy - sentAt,
        )
        metrics.scheduled(words.filter((word) => word === 'scheduled').length, performance.now() - sentAt)
        clock.observe(now)
        turns.works(shard)
        if (headInMs !== null) onHead(shard, Math.max(0, headInMs - gone))
        return { words, now, repeated }
      } catch (error) {
        const passing = error instanceof SchedulerError && error.code === 'STORE_UNAVAILABLE'
        if (!passing) throw error
        turns.failed(shard)
        if (performance.now() + wait >= answerBy) throw error
        if (!error.perhapsDone && !repeated && canLeave()) return 'leave'
        if (error.perhapsDone) {
          repeated = true
          attempt = entries.map(asRepeated)
        }
      } finally {
        clearTimeout(slow)
      }
      await delay(wait)
    }
  }

  function add(draft: Draft): Promise<Committed> {
    return new Promise((resolve, reject) => {
      if (turn.length === 0) setImmediate(flush)
      turn.push({ draft, enteredAt: performance.now(), resolve, reject })
    })
  }
  return { add }
}

/**
 * An entry as it may be sent once more although it is perhaps stored: a client-made id stays known after its
 * delivery, but a server-made one may be stored again only if it cannot have been delivered meanwhile.
 */
function asRepeated(entry: ScheduleEntry): ScheduleEntry {
  if (entry.rule === 'client') return entry
  const soon = 'inMs' in entry.due && entry.due.inMs <= ANSWER_WITHIN_MS
  return { ...entry, rule: 'future', due: soon ? { at: 0 } : entry.due }
}
