import { setTimeout as delay } from 'node:timers/promises'
import { SchedulerError } from '../errors.ts'
import { createIdMaker } from '../message-id.ts'
import type { RedisClock } from '../redis/redis-clock.ts'
import type { ScheduleEntry, Scripts } from '../redis/scripts.ts'

/** One script call takes this much at most, which keeps it to a few milliseconds. */
const CALL_MESSAGES = 1_000
const CALL_CHARACTERS = 4_194_304
/** A client hears no later than this whether its message was stored. */
const ANSWER_WITHIN_MS = 1_500
const FIRST_RETRY_MS = 25

export interface Draft {
  /** epoch ms */
  readonly dueAt: number
  readonly rule: ScheduleEntry['rule']
  /** see encodeRecordBody */
  readonly body: string
}

interface Pending {
  readonly draft: Draft
  readonly enteredAt: number
  readonly resolve: (id: string) => void
  readonly reject: (error: Error) => void
}

export interface GroupCommit {
  /**
   * Stores one message, sharing its script call with all others handed in during this turn of the event loop.
   *
   * While Redis is away the call is repeated with the same ids until 1.5 s have gone by. That is safe: a
   * message that an unanswered call did store is found by its id, and one whose due time came in between,
   * which may be delivered and forgotten by now, is not stored again.
   *
   * @returns its id, once Redis has confirmed it
   * @throws SchedulerError DUE_TIME_PASSED, STORE_FULL: not stored; STORE_UNAVAILABLE: perhaps stored
   */
  add(draft: Draft): Promise<string>
}

export interface GroupCommitDeps {
  readonly scripts: Pick<Scripts, 'schedule'>
  readonly clock: RedisClock
  readonly shards: number
  /** told when a message of ours became the next one of its shard */
  readonly onHead: (shard: number, inMs: number) => void
}

export function createGroupCommit({ scripts, clock, shards, onHead }: GroupCommitDeps): GroupCommit {
  const ids = createIdMaker()
  let turn: Pending[] = []
  let nextShard = Math.floor(Math.random() * shards)

  function flush(): void {
    const all = turn
    turn = []
    let batch: Pending[] = []
    let characters = 0
    for (const pending of all) {
      batch.push(pending)
      characters += pending.draft.body.length
      if (batch.length === CALL_MESSAGES || characters >= CALL_CHARACTERS) {
        void commit(batch)
        batch = []
        characters = 0
      }
    }
    if (batch.length > 0) void commit(batch)
  }

  /** A batch goes to one shard whole, and the next batch to the next shard. */
  async function commit(batch: Pending[]): Promise<void> {
    const shard = nextShard
    nextShard = (nextShard + 1) % shards
    const entries = batch.map(({ draft }): ScheduleEntry => {
      return { id: ids.next(shard, clock.now()), dueAt: draft.dueAt, rule: draft.rule, body: draft.body }
    })
    try {
      const { words, repeated } = await scheduleUntilAnswered(shard, entries, batch[0]?.enteredAt ?? 0)
      for (const [i, { draft, resolve, reject }] of batch.entries()) {
        const word = words[i]
        if (word === 'scheduled' || (word === 'exists' && repeated)) {
          resolve(entries[i]?.id ?? '')
        } else if (word === 'exists') {
          // Another server made the same id in the same millisecond: ours is stored under a new one.
          add(draft).then(resolve, reject)
        } else if (repeated) {
          reject(new SchedulerError('STORE_UNAVAILABLE', 'Redis was away until after the due time'))
        } else {
          reject(new SchedulerError('DUE_TIME_PASSED', 'the due time has passed'))
        }
      }
    } catch (error) {
      for (const { reject } of batch) reject(error as Error)
    }
  }

  async function scheduleUntilAnswered(shard: number, entries: readonly ScheduleEntry[], since: number) {
    const answerBy = since + ANSWER_WITHIN_MS
    let repeated = false
    let attempt = entries
    for (let wait = FIRST_RETRY_MS; ; wait *= 2) {
      try {
        const { words, headInMs, now } = await withinTime(scripts.schedule(shard, attempt), answerBy)
        clock.observe(now)
        if (headInMs !== null) onHead(shard, headInMs)
        return { words, repeated }
      } catch (error) {
        const passing = error instanceof SchedulerError && error.code === 'STORE_UNAVAILABLE'
        if (!passing || performance.now() + wait >= answerBy) throw error
      }
      await delay(wait)
      repeated = true
      attempt = entries.map((entry): ScheduleEntry => ({ ...entry, rule: 'future' }))
    }
  }

  function add(draft: Draft): Promise<string> {
    return new Promise((resolve, reject) => {
      if (turn.length === 0) setImmediate(flush)
      turn.push({ draft, enteredAt: performance.now(), resolve, reject })
    })
  }
  return { add }
}

/** @throws SchedulerError STORE_UNAVAILABLE when `call` has not settled by `answerBy` (monotonic ms) */
function withinTime<T>(call: Promise<T>, answerBy: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new SchedulerError('STORE_UNAVAILABLE', 'Redis did not answer in time')),
      Math.max(0, answerBy - performance.now()),
    )
    call.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
