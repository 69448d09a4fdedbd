import type { ScriptContext } from '../define-script.ts'
import { expectWord, numberOrNull } from '../replies.ts'

const LISTED_STATES = ['scheduled', 'claimed', 'dead', 'delivered', 'dropped', 'cancelled'] as const
/** The states that have an index of their messages. */
export type ListedState = (typeof LISTED_STATES)[number]

export const STATES = [...LISTED_STATES, 'stranded'] as const
/** The states of a message; "stranded": it has a record, but is in none of the other states. */
export type State = (typeof STATES)[number]

/** A message as Redis stores it, in any state. */
export interface FoundMessage {
  readonly id: string
  readonly state: State
  /** epoch ms: next due (scheduled), lock end (claimed), its end (others), 0 (stranded), null (only its id is known) */
  readonly score: number | null
  /** its record, or the history's entry of a finished message; its fingerprint where only its id is known */
  readonly record: string
  /** "<failures> <recoveries>", "" for neither */
  readonly attemptCounts: string
  /** its failures, see lua/lib/failures.lua; "" if it has none, or is finished */
  readonly failures: string
}

/** A position in an index: after this score and id. */
export interface Position {
  readonly score: string
  readonly id: string
}

interface Counts {
  readonly scheduled: number
  readonly claimed: number
  readonly dead: number
  /** records that are in none of the other states */
  readonly stranded: number
  /** ms for which the earliest message has been overdue */
  readonly overdueMs: number
  /** the same without messages that only wait for a pull worker or a slot of their host */
  readonly lateMs: number
  /** due messages that a pause holds; neither time counts them */
  readonly paused: number
}

interface LoadReply {
  readonly now: number
  readonly overdue: number
  readonly oldestMs: number
  /** due within five minutes */
  readonly soon: number
  /** due in each of the next 60 s; none if nothing is due within five minutes */
  readonly perSecond: readonly number[]
}

/** Each rejects with a SchedulerError as toSchedulerError says. */
export interface QueryScripts {
  /** @returns one per id, in order; undefined for an unknown one @see lua/query/find.lua */
  find(shard: number, ids: readonly string[]): Promise<(FoundMessage | undefined)[]>
  /** @returns a count per span @see lua/query/forecast.lua */
  forecast(shard: number, args: { from: number; to: number; bucketMs: number }): Promise<number[]>
  /** @returns Redis's clock, and what is due when in a shard @see lua/query/load.lua */
  load(shard: number): Promise<LoadReply>
  /** @param fullLanes lanes of hosts that are full @see lua/query/count.lua */
  count(shard: number, fullLanes?: readonly string[]): Promise<Counts>
  /**
   * What messages are, without their payloads.
   *
   * @returns for each id the beginning of its record; "" where there is none, or where records are too large
   * @see lua/query/heads.lua
   */
  heads(shard: number, ids: readonly string[]): Promise<string[]>
  /** @returns the names of the streams of a shard @see lua/query/streams.lua */
  streams(shard: number): Promise<string[]>
  /**
   * Deletes an entry of the history.
   *
   * @param entry the entry as it was read
   * @returns false if it has changed
   * @see lua/query/forget.lua
   */
  forget(shard: number, args: { id: string; entry: string }): Promise<boolean>
}

export function queryScripts({ define }: ScriptContext): QueryScripts {
  const find = define('find', { each: { id: (id: string) => id }, timed: true })
  const forecast = define('forecast', { args: ['from', 'to', 'bucketMs'], timed: true })
  const count = define('count', { each: { fullLane: (lane: string) => lane }, timed: true })
  const load = define('load', { timed: true })
  const streams = define('streams', { timed: true })
  const heads = define('heads', { each: { id: (id: string) => id }, timed: true })
  const forget = define('forget', { args: ['id', 'entry'], timed: true })

  return {
    async find(shard, ids) {
      const reply = await find(shard, {}, ids)
      return ids.map((id, i) => toFound(id, reply.slice(5 * i, 5 * i + 5)))
    },

    forecast: async (shard, args) => (await forecast(shard, args)).map(Number),

    async load(shard) {
      const [now = 0, overdue = 0, oldestMs = 0, soon = 0, ...perSecond] = (await load(shard, {})).map(Number)
      return { now, overdue, oldestMs, soon, perSecond }
    },

    async count(shard, fullLanes = []) {
      const numbers = (await count(shard, {}, fullLanes)).map(Number)
      const [scheduled = 0, claimed = 0, dead = 0, stranded = 0, overdueMs = 0, lateMs = 0, paused = 0] =
        numbers
      return { scheduled, claimed, dead, stranded, overdueMs, lateMs, paused }
    },

    heads: async (shard, ids) => (await heads(shard, {}, ids)).map(String),

    streams: async (shard) => (await streams(shard, {})).map(String),

    async forget(shard, args) {
      const [word] = await forget(shard, args)
      return word === 'forgotten'
    },
  }
}

const findWord = expectWord('find', [...STATES, 'unknown'])

/** @param found the five values of one id, as find answers them; undefined for an unknown one */
export function toFound(
  id: string,
  [word, score, record, attemptCounts, failures]: unknown[],
): FoundMessage | undefined {
  const state = findWord(word)
  if (state === 'unknown') return undefined
  return {
    id,
    state,
    score: numberOrNull(score),
    record: String(record),
    attemptCounts: String(attemptCounts),
    failures: String(failures),
  }
}
