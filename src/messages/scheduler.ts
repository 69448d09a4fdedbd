import { setTimeout as delay } from 'node:timers/promises'
import { laneOf } from '../destinations/registry.ts'
import { SchedulerError } from '../domain/errors.ts'
import type { Due, MessageOptions, RecordForm } from '../domain/message.ts'
import { fingerprintOf } from '../records/fingerprint.ts'
import { decodeHistoryEntry } from '../records/history.ts'
import { UnreadableError } from '../records/readable.ts'
import { decodeRecord, encodeOptions, encodeRecordBody } from '../records/record.ts'
import { ANSWER_TIMEOUT_MS } from '../runtime/time-limit.ts'
import type { ShardMap } from '../shards/shard-map.ts'
import type { FoundMessage } from '../store/scripts/query.ts'
import type { Scripts } from '../store/scripts/scripts.ts'
import type { GroupCommit } from './group-commit.ts'
import { type KnownMessage, type Message, toMessage, type UnreadableMessage } from './message-view.ts'

/** While the number of shards changes, a message whose shard changes with it asks again after this where it goes. */
const FIRST_ASK_MS = 25

export interface NewMessage {
  /** the client's own; without one, one is made and equal messages are different ones */
  readonly id?: string
  readonly due: Due
  /** JSON text without white space outside strings */
  readonly payload: string
  readonly options?: MessageOptions
  /** refuse it if its due time has come */
  readonly future?: boolean
}

export interface Scheduled {
  readonly id: string
  /** when it will be delivered, epoch ms */
  readonly dueAt: number
  /** by Redis's clock, epoch ms */
  readonly createdAt: number
  /** a message of this id and content was there already, and nothing was stored */
  readonly duplicate: boolean
}

/** Fields to change, undefined to remove one; a field that is not there stays. */
export interface Patch {
  readonly due?: Due
  /** as in NewMessage */
  readonly payload?: string
  readonly options: { readonly [Name in keyof MessageOptions]: MessageOptions[Name] | undefined }
}

/**
 * What can be done with one message. Every method throws SchedulerError STORE_UNAVAILABLE when Redis did not
 * confirm: what was asked may or may not have been done.
 */
export interface Scheduler {
  /**
   * Schedules a message for delivery at, and never before, its due time.
   *
   * @returns once Redis has confirmed it
   * @throws SchedulerError DUE_TIME_PASSED, NOT_AFTER_TOO_SOON, ID_CONFLICT, STORE_FULL  nothing was stored
   * @see lua/schedule/schedule.lua
   */
  schedule(message: NewMessage): Promise<Scheduled>
  /** @throws SchedulerError MESSAGE_NOT_FOUND @see lua/query/find.lua */
  find(id: string): Promise<KnownMessage>
  /**
   * Changes a message that is scheduled, or dead, in place.
   *
   * @param ifMatch versions accepted, comma-separated; "" or "*" for any
   * @throws SchedulerError MESSAGE_NOT_FOUND, MESSAGE_CLAIMED, MESSAGE_FINISHED, MESSAGE_DAMAGED, VERSION_MISMATCH,
   *   NOT_AFTER_TOO_SOON, ON_LATE_WITHOUT_NOT_AFTER, in this order of precedence; nothing was changed
   * @see lua/schedule/reschedule.lua
   */
  reschedule(id: string, patch: Patch, ifMatch: string): Promise<Message | UnreadableMessage>
  /**
   * Deletes a message that is scheduled, dead or stranded; after this has returned it is never delivered. Of a finished
   * message it deletes an unreadable history entry.
   *
   * @param ifMatch versions accepted, comma-separated; "" or "*" for any
   * @throws SchedulerError MESSAGE_NOT_FOUND, MESSAGE_CLAIMED, MESSAGE_FINISHED, VERSION_MISMATCH, in this order
   * @see lua/schedule/cancel.lua
   */
  cancel(id: string, ifMatch: string): Promise<void>
}

export interface SchedulerDeps {
  readonly groupCommit: GroupCommit
  readonly scripts: Pick<Scripts, 'find' | 'cancel' | 'reschedule' | 'forget'>
  readonly shardMap: ShardMap
  /** in which form destinations are stored just now */
  readonly recordForm: () => RecordForm
  readonly onNextDue: (shard: number, inMs: number, lane: string) => void
  /** how long finished client-made ids stay known */
  readonly dedupWindowMs: number
  /** Redis's clock as last heard of, epoch ms */
  readonly now: () => number
}

export function createScheduler(deps: SchedulerDeps): Scheduler {
  const { groupCommit, scripts, shardMap, recordForm, onNextDue, dedupWindowMs, now } = deps

  /** Where it is, and in which shard; undefined when nowhere. */
  async function locate(id: string): Promise<{ shard: number; found: FoundMessage } | undefined> {
    for (const shard of shardMap.shardsOf(id)) {
      const [found] = await scripts.find(shard, [id])
      if (found !== undefined) return { shard, found }
    }
    return undefined
  }

  /**
   * Whether one of these shards has a client's id with the same content.
   * @throws SchedulerError ID_CONFLICT for different content
   */
  async function isKnownIn(shards: readonly number[], id: string, fingerprint: string): Promise<boolean> {
    for (const shard of shards) {
      const [found] = await scripts.find(shard, [id])
      const seen = found === undefined ? undefined : fingerprintIn(found)
      if (seen === undefined) continue
      if (seen !== fingerprint)
        throw new SchedulerError('ID_CONFLICT', 'the id is in use with different content')
      return true
    }
    return false
  }

  /** The fingerprint of a message whose id is still taken. */
  function fingerprintIn({ state, score, record }: FoundMessage): string | undefined {
    if (score === null) return record
    const isFinished = state === 'delivered' || state === 'dropped'
    if (isFinished && score + dedupWindowMs <= now()) return undefined
    try {
      const fingerprint = isFinished
        ? decodeRecord(decodeHistoryEntry(record).record, 'optional').fingerprint
        : decodeRecord(record).fingerprint
      return fingerprint ?? undefined
    } catch (error) {
      // An unreadable record: as in lua/schedule/schedule.lua, no content equals it.
      if (error instanceof UnreadableError) return UNREADABLE
      throw error
    }
  }

  /** Deletes the entry of a finished message in the history if it cannot be read. @returns whether it did */
  async function forgetUnreadable(shard: number, id: string): Promise<boolean> {
    const [found] = await scripts.find(shard, [id])
    if (found === undefined || !('raw' in toMessage(found))) return false
    return scripts.forget(shard, { id, entry: found.record })
  }

  /** The shard to act in: where the message is, or the first, which will answer that it is nowhere. */
  async function shardFor(id: string): Promise<number> {
    const shards = shardMap.shardsOf(id)
    if (shards.length > 1) return (await locate(id))?.shard ?? shards[0] ?? 0
    return shards[0] ?? 0
  }

  /** Where an id of the client's belongs may change while this asks, as shards may be added. */
  async function scheduleOwn(id: string, message: NewMessage): Promise<Scheduled> {
    const { due, payload, options = {}, future = false } = message
    const fingerprint = fingerprintOf(due, payload, options)
    const body = encodeRecordBody(payload, options, fingerprint, recordForm())
    const giveUpAt = performance.now() + ANSWER_TIMEOUT_MS
    for (let wait = FIRST_ASK_MS; ; wait *= 2) {
      const place = shardMap.placementOf(id)
      if (place !== undefined) {
        const { shard, others, validUntil } = place
        if (await isKnownIn(others, id, fingerprint)) {
          return { id, dueAt: 0, createdAt: 0, duplicate: true }
        }
        const stored = await groupCommit.add({
          ...{ own: { id, shard, validUntil }, due, future, body, indexes: indexesOf(options) },
        })
        if (!stored.moved) return stored
      }
      if (performance.now() + wait >= giveUpAt) {
        throw new SchedulerError('STORE_UNAVAILABLE', 'the number of shards is not known at the moment')
      }
      await delay(wait)
    }
  }

  return {
    schedule(message) {
      const { id, due, payload, options, future = false } = message
      if (id !== undefined) return scheduleOwn(id, message)
      const body = encodeRecordBody(payload, options, undefined, recordForm())
      return groupCommit.add({ due, future, body, indexes: indexesOf(options) })
    },

    async find(id) {
      const located = await locate(id)
      if (located === undefined) throw notFound()
      return toMessage(located.found)
    },

    async reschedule(id, { due, payload, options }, ifMatch) {
      const shard = await shardFor(id)
      const changes = {
        due: due ?? null,
        payload: payload ?? null,
        options: encodeOptions(options, recordForm()),
      }
      const reply = await scripts.reschedule(shard, { id, ifMatch, changes })
      switch (reply.word) {
        case 'rescheduled':
          if (reply.nextDueInMs !== null) onNextDue(shard, reply.nextDueInMs, reply.nextDueLane)
          // Never a forgotten one, as it is scheduled or dead.
          return toMessage(reply.found) as Message | UnreadableMessage
        case 'expired':
          throw new SchedulerError('NOT_AFTER_TOO_SOON', 'notAfter would be before the due time')
        case 'no-not-after':
          throw new SchedulerError('ON_LATE_WITHOUT_NOT_AFTER', 'onLate requires notAfter')
        default:
          throw refusal(reply.word)
      }
    },

    async cancel(id, ifMatch) {
      const shard = await shardFor(id)
      const [word = 'unknown'] = await scripts.cancel(shard, {
        ids: [id],
        ifMatch,
        states: ['scheduled', 'dead', 'stranded'],
      })
      if (word === 'cancelled' || word === 'other') return
      if (word === 'finished' && (await forgetUnreadable(shard, id))) return
      throw refusal(word)
    },
  }
}

const NONE: readonly string[] = []

/** The indexes of a message in addition to the main due set: by tag, and by lane. */
function indexesOf({ tags = NONE, destination }: MessageOptions = {}): readonly string[] {
  const lane = destination === undefined ? '' : laneOf(destination)
  return lane.includes(':') ? [...tags, lane] : tags
}

/** No fingerprint is empty. */
const UNREADABLE = ''

const notFound = () => new SchedulerError('MESSAGE_NOT_FOUND', 'no message has this id')

function refusal(word: 'unknown' | 'claimed' | 'finished' | 'damaged' | 'version'): SchedulerError {
  switch (word) {
    case 'unknown':
      return notFound()
    case 'claimed':
      return new SchedulerError('MESSAGE_CLAIMED', 'the message is being delivered')
    case 'finished':
      return new SchedulerError('MESSAGE_FINISHED', 'the message was delivered or dropped')
    case 'damaged':
      return new SchedulerError('MESSAGE_DAMAGED', 'the message cannot be read, or is in no state')
    case 'version':
      return new SchedulerError('VERSION_MISMATCH', 'the message has another version')
    default:
      return word satisfies never
  }
}
