import type { Cluster, Redis } from 'ioredis'
import { withinTime } from '../../runtime/time-limit.ts'
import {
  type Argument,
  type Command,
  defineScript,
  keyBook,
  numberOrNull,
  oneOf,
  type ScriptsOptions,
} from '../define-script.ts'
import { type ShardKeys, serversKeyOf, wakeChannelOf } from '../keys.ts'

const LISTED_STATES = ['scheduled', 'claimed', 'dead', 'delivered', 'dropped'] as const
/** The states that have an index of their messages. */
export type ListedState = (typeof LISTED_STATES)[number]

const STATES = [...LISTED_STATES, 'stranded'] as const
/** What can be the case with a message that is known; "stranded": it has a record, but is in none of the other states. */
export type State = (typeof STATES)[number]

/** A message as it lies in Redis, in whatever state. */
export interface FoundMessage {
  readonly id: string
  readonly state: State
  /** epoch ms: when next due (scheduled), lock end (claimed), when it ended (others), 0 (stranded); null: only its id is known */
  readonly score: number | null
  /** its record, or the history's entry for delivered and dropped; its fingerprint where only its id is known */
  readonly record: string
  /** "<failures> <recoveries>", "" for neither */
  readonly attempts: string
  /** what went wrong, see lua/lib/failures.lua; "" for nothing, and for what is finished */
  readonly failures: string
}

/** A place in an index: behind this score and id. */
export interface Position {
  readonly score: string
  readonly id: string
}

export interface ListQuery {
  /** whose index: a state's (scheduled: the main due set's), or of scheduled and claimed messages with a tag */
  readonly index: ListedState | 'forStreams' | 'laned' | { readonly tag: string }
  /** epoch ms, inclusive and exclusive; null for no bound */
  readonly from: number | null
  readonly before: number | null
  readonly after: Position | null
  readonly limit: number
  readonly bytes: number
  /** which of the index to return: all, the scheduled ones (of a tag's index), or those with a tag */
  readonly keep: 'all' | 'scheduled' | { readonly tag: string }
}

export interface Row {
  readonly id: string
  readonly score: string
  readonly record: string
  readonly attempts: string
  readonly failures: string
}

interface ListReply {
  readonly rows: readonly Row[]
  /** where to go on; null at the end */
  readonly end: Position | null
}

export interface Changes {
  readonly due: { readonly at: number } | { readonly inMs: number } | null
  /** JSON text; null leaves it */
  readonly payload: string | null
  /** option letters (see lua/lib/record.lua) and their new values, "" to remove one */
  readonly options: readonly (readonly [name: string, value: string])[]
}

const CANCEL_WORDS = ['cancelled', 'unknown', 'claimed', 'finished', 'other', 'version'] as const
/** In which a message may be cancelled. */
type CancelledState = 'scheduled' | 'dead' | 'stranded'
export type CancelWord = (typeof CANCEL_WORDS)[number]

const RESCHEDULE_REFUSALS = [
  ...['unknown', 'claimed', 'finished', 'damaged', 'version', 'expired', 'pointless'],
] as const
type RescheduleReply =
  | { readonly word: 'rescheduled'; readonly found: FoundMessage; readonly headInMs: number | null }
  | { readonly word: (typeof RESCHEDULE_REFUSALS)[number] }

interface Counts {
  readonly scheduled: number
  readonly claimed: number
  readonly dead: number
  /** records beyond those of the other states */
  readonly stranded: number
  /** ms for which the longest overdue message has been */
  readonly overdueMs: number
  /** the same without what only waits for a worker to pull it, or for a slot of its host */
  readonly lateMs: number
}

/** A server not heard of for this long is taken for gone; it says every third of it that it is there. */
export const SERVER_GONE_AFTER_MS = 7_500

/**
 * The scripts that look at messages and change them; see the header of each file in `lua/`.
 * Each rejects as defineScript says.
 */
export interface MessageScripts {
  /** @returns one per id, in order; undefined for an unknown one @see lua/query/find.lua */
  find(shard: number, ids: readonly string[]): Promise<(FoundMessage | undefined)[]>
  /** @see lua/query/list.lua */
  list(shard: number, query: ListQuery): Promise<ListReply>
  /** @returns Redis's clock, ids, and where to go on @see lua/query/range.lua */
  range(
    shard: number,
    args: {
      index: 'dead' | { tag: string }
      direction: 'up' | 'down'
      after: Position | null
      limit: number
    },
  ): Promise<{ now: number; ids: string[]; end: Position | null }>
  /**
   * @param ifMatch versions accepted, comma-separated; "" for any
   * @param states in which a message is cancelled
   * @returns a word for each of the first ids, fewer than all if their records are large
   * @see lua/schedule/cancel.lua
   */
  cancel(
    shard: number,
    args: { ids: readonly string[]; ifMatch: string; states: readonly CancelledState[] },
  ): Promise<CancelWord[]>
  /**
   * Deletes an entry of the history.
   *
   * @param entry what was found there
   * @returns false where something else is there by now
   * @see lua/query/forget.lua
   */
  forget(shard: number, args: { id: string; entry: string }): Promise<boolean>
  /** @see lua/schedule/reschedule.lua */
  reschedule(shard: number, args: { id: string; ifMatch: string; changes: Changes }): Promise<RescheduleReply>
  /** Looks at one id at least, and at fewer than all if their records are large. @see lua/schedule/shift.lua */
  shift(
    shard: number,
    args: { ids: readonly string[]; byMs: number; latest: number },
  ): Promise<{ lookedAt: number; shifted: number; headInMs: number | null }>
  /** @returns a count per span @see lua/query/forecast.lua */
  forecast(shard: number, args: { from: number; to: number; bucketMs: number }): Promise<number[]>
  /** @param fullLanes lanes of hosts that are full @see lua/query/count.lua */
  count(shard: number, fullLanes?: readonly string[]): Promise<Counts>
  /**
   * Looks at one id at least, and at fewer than all if their records are large.
   *
   * @param from epoch ms the first is due at; null for now
   * @param everyMs between one and the next, not necessarily whole
   * @param before how many of the same act went before
   * @see lua/schedule/redrive.lua
   */
  redrive(
    shard: number,
    args: { ids: readonly string[]; from: number | null; everyMs: number; before: number },
  ): Promise<{
    lookedAt: number
    from: number
    /** how many dead letters cannot be read, and so stay what they are */
    unreadable: number
    unknown: string[]
    headInMs: number | null
  }>
  /** @returns the names of the streams of a shard @see lua/query/streams.lua */
  streams(shard: number): Promise<string[]>
  /**
   * @param self this server, with a description to stay and null to leave; null only reads
   * @param look whether to learn who is alive, which costs the more the more there are
   * @returns Redis's clock, and the servers alive, id to description; none without a look
   * @see lua/cluster/heartbeat.lua
   */
  heartbeat(
    self: { id: string; description: string | null } | null,
    look: boolean,
  ): Promise<{ now: number; alive: Map<string, string> }>
}

/** Defines the scripts on a client, once, and returns them as methods. */
export function createMessageScripts(client: Redis | Cluster, options: ScriptsOptions): MessageScripts {
  const { namespace, clockOffsetMs = () => 0 } = options
  const { historyTtlMs } = options.retention
  const wakeChannel = wakeChannelOf(namespace)
  const keys = keyBook(namespace)
  const define = (name: string): Command => {
    const command = defineScript(client, name)
    return (...args) => withinTime(command(...args))
  }
  const [find, list, range, cancel] = [define('find'), define('list'), define('range'), define('cancel')]
  const [reschedule, shift, forecast] = [define('reschedule'), define('shift'), define('forecast')]
  const [count, heartbeat, redrive] = [define('count'), define('heartbeat'), define('redrive')]
  const [streams, forget] = [define('streams'), define('forget')]
  const state = oneOf('find', [...STATES, 'unknown'])
  const cancelWord = oneOf('cancel', CANCEL_WORDS)
  const rescheduleWord = oneOf('reschedule', ['rescheduled', ...RESCHEDULE_REFUSALS])
  const stateKeys = (k: ShardKeys) => [
    ...[k.scheduled, k.claimed, k.dead, k.messages, k.attempts, k.history, k.failures, k.laned],
  ]

  return {
    async find(shard, ids) {
      const k = keys(shard)
      const reply = await find(...stateKeys(k), clockOffsetMs(), k.seenPrefix, historyTtlMs, ...ids)
      return ids.map((id, i) => {
        const [word, score, record, attempts, failures] = reply.slice(5 * i, 5 * i + 5)
        const found = state(word)
        if (found === 'unknown') return undefined
        return {
          id,
          state: found,
          score: numberOrNull(score),
          record: String(record),
          attempts: String(attempts),
          failures: String(failures),
        }
      })
    },

    async list(shard, { index, from, before, after, limit, bytes, keep }) {
      const k = keys(shard)
      const [score, id, ...rest] = await list(
        ...[typeof index === 'string' ? k[index] : k.tagPrefix + index.tag],
        ...[k.scheduled, k.messages, k.attempts, k.history, k.failures, k.laned],
        ...[from ?? '-inf', before ?? '+inf', after?.score ?? '', after?.id ?? '', limit, bytes],
        typeof keep === 'string' ? keep : `tag:${keep.tag}`,
      )
      const rows: Row[] = []
      for (let i = 0; i < rest.length; i += 5) {
        const [rowId = '', rowScore = '', record = '', attempts = '', failures = ''] = rest
          .slice(i, i + 5)
          .map(String)
        rows.push({ id: rowId, score: rowScore, record, attempts, failures })
      }
      return { rows, end: score === '' ? null : { score: String(score), id: String(id) } }
    },

    async range(shard, { index, direction, after, limit }) {
      const k = keys(shard)
      const [now, score, ...ids] = await range(
        typeof index === 'string' ? k[index] : k.tagPrefix + index.tag,
        ...[clockOffsetMs(), direction, after?.score ?? '', after?.id ?? '', limit],
      )
      const last = ids.at(-1)
      const end = last === undefined ? null : { score: String(score), id: String(last) }
      return { now: Number(now), ids: ids.map(String), end }
    },

    async cancel(shard, { ids, ifMatch, states }) {
      const k = keys(shard)
      const args: Argument[] = [
        ...stateKeys(k),
        k.hosts,
        k.queues,
        clockOffsetMs(),
        k.tagPrefix,
        k.seenPrefix,
      ]
      return (await cancel(...args, historyTtlMs, ifMatch, states.join(','), ...ids)).map(cancelWord)
    },

    async forget(shard, { id, entry }) {
      const k = keys(shard)
      const [word] = await forget(k.history, k.delivered, k.dropped, id, entry)
      return word === 'forgotten'
    },

    async reschedule(shard, { id, ifMatch, changes }) {
      const k = keys(shard)
      const { due, payload } = changes
      const [answer, found, score, record, attempts, failures, head] = await reschedule(
        ...[...stateKeys(k), k.hosts, k.queues, k.streams],
        ...[clockOffsetMs(), wakeChannel, shard, k.tagPrefix, k.seenPrefix, historyTtlMs, id, ifMatch],
        ...[
          due === null ? '' : 'at' in due ? due.at : `+${due.inMs}`,
          payload ?? '',
          ...changes.options.flat(),
        ],
      )
      const word = rescheduleWord(answer)
      if (word !== 'rescheduled') return { word }
      return {
        word,
        found: {
          id,
          state: oneOf('reschedule', STATES)(found),
          score: Number(score),
          record: String(record),
          attempts: String(attempts),
          failures: String(failures),
        },
        headInMs: numberOrNull(head),
      }
    },

    async shift(shard, { ids, byMs, latest }) {
      const k = keys(shard)
      const args: Argument[] = [k.scheduled, k.messages, k.laned, k.hosts, k.queues]
      args.push(clockOffsetMs(), wakeChannel, shard, k.tagPrefix)
      const [lookedAt, shifted, head] = await shift(...args, byMs, latest, ...ids)
      return { lookedAt: Number(lookedAt), shifted: Number(shifted), headInMs: numberOrNull(head) }
    },

    async forecast(shard, { from, to, bucketMs }) {
      const k = keys(shard)
      return (await forecast(k.scheduled, k.laned, from, to, bucketMs)).map(Number)
    },

    async count(shard, fullLanes = []) {
      const k = keys(shard)
      const [scheduled = 0, claimed = 0, dead = 0, stranded = 0, overdueMs = 0, lateMs = 0] = (
        await count(
          ...[k.scheduled, k.claimed, k.dead, k.laned, k.hosts, k.messages],
          ...[clockOffsetMs(), ...fullLanes],
        )
      ).map(Number)
      return { scheduled, claimed, dead, stranded, overdueMs, lateMs }
    },

    async redrive(shard, { ids, from, everyMs, before }) {
      const k = keys(shard)
      const [lookedAt, start, head, unreadable, ...unknown] = await redrive(
        ...[k.scheduled, k.dead, k.messages, k.attempts, k.laned, k.hosts, k.queues],
        ...[clockOffsetMs(), wakeChannel, shard, k.tagPrefix, from ?? '', everyMs, before, ...ids],
      )
      return {
        lookedAt: Number(lookedAt),
        from: Number(start),
        unreadable: Number(unreadable),
        unknown: unknown.map(String),
        headInMs: numberOrNull(head),
      }
    },

    async streams(shard) {
      return (await streams(keys(shard).streams)).map(String)
    },

    async heartbeat(self, look) {
      const args = [
        clockOffsetMs(),
        self?.id ?? '',
        self?.description ?? '',
        SERVER_GONE_AFTER_MS,
        look ? 1 : 0,
      ]
      const [now, ...reply] = (await heartbeat(serversKeyOf(namespace), ...args)).map(String)
      const alive = new Map<string, string>()
      for (let i = 0; i < reply.length; i += 2) alive.set(reply[i] ?? '', reply[i + 1] ?? '')
      return { now: Number(now), alive }
    },
  }
}
