import { SchedulerError } from '../domain/errors.ts'
import type { Due, MessageOptions } from '../domain/message.ts'
import type { Metrics } from '../observability/metrics.ts'
import { encodeOptions, encodeRecordBody } from '../records/record.ts'
import type { Changes } from '../store/scripts/change.ts'
import type { FoundMessage } from '../store/scripts/query.ts'
import type { Scripts } from '../store/scripts/scripts.ts'
import { type ClientIdsDeps, createClientIds } from './client-ids.ts'
import { indexesOf } from './draft.ts'
import { type KnownMessage, type Message, toMessage, type UnreadableMessage } from './message-view.ts'
import type { NewMessage, Scheduled } from './new-message.ts'

/** Fields to change, undefined to remove one; a field that is not there stays. */
export interface Patch {
  readonly due?: Due
  /** as in NewMessage */
  readonly payload?: string
  readonly options: { readonly [Name in keyof MessageOptions]: MessageOptions[Name] | undefined }
}

/** Under which condition one message is changed, and by whom. */
export interface OneChange {
  /** versions accepted, comma-separated; "" or "*" for any */
  readonly ifMatch: string
  /** name of the API key; null for none */
  readonly by: string | null
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
   * @throws SchedulerError MESSAGE_NOT_FOUND, MESSAGE_CLAIMED, MESSAGE_FINISHED, MESSAGE_DAMAGED, VERSION_MISMATCH,
   *   NOT_AFTER_TOO_SOON, ON_LATE_WITHOUT_NOT_AFTER, in this order of precedence; nothing was changed
   * @see lua/schedule/reschedule.lua
   */
  reschedule(id: string, patch: Patch, how: OneChange): Promise<Message | UnreadableMessage>
  /**
   * Makes a scheduled message due now, unless it is already; schedules a dead letter again, as by a redrive.
   *
   * @param ignoresPause whether to deliver it although it is paused
   * @throws SchedulerError MESSAGE_NOT_FOUND, MESSAGE_CLAIMED, MESSAGE_FINISHED, MESSAGE_DAMAGED, VERSION_MISMATCH, in
   *   this order of precedence: nothing was changed; TOO_MANY_PASSES: it is due now, and held
   * @see lua/schedule/reschedule.lua and lua/pauses/let-pass.lua
   */
  deliver(id: string, how: OneChange, ignoresPause: boolean): Promise<Message | UnreadableMessage>
  /**
   * Cancels a message that is scheduled or dead, and deletes one that is stranded; after this has returned it is never
   * delivered. Of a finished message it deletes an unreadable history entry.
   *
   * @throws SchedulerError MESSAGE_NOT_FOUND, MESSAGE_CLAIMED, MESSAGE_FINISHED, VERSION_MISMATCH, in this order
   * @see lua/schedule/cancel.lua
   */
  cancel(id: string, how: OneChange): Promise<void>
}

export interface SchedulerDeps extends ClientIdsDeps {
  readonly scripts: Pick<Scripts, 'find' | 'cancel' | 'reschedule' | 'letPass' | 'forget'>
  readonly onNextDue: (shard: number, inMs: number, lane: string) => void
  readonly metrics: Pick<Metrics, 'cancelled'>
}

export function createScheduler(deps: SchedulerDeps): Scheduler {
  const { groupCommit, scripts, shardMap, recordForm, onNextDue, metrics } = deps
  const clientIds = createClientIds(deps)

  /** Where a message is, and in which shard; undefined if there is none of this id. */
  async function locate(id: string): Promise<{ shard: number; found: FoundMessage } | undefined> {
    for (const shard of shardMap.shardsOf(id)) {
      const [found] = await scripts.find(shard, [id])
      if (found !== undefined) return { shard, found }
    }
    return undefined
  }

  /** The shard to act in: where the message is, or the first one, which answers that there is none. */
  async function shardFor(id: string): Promise<number> {
    const shards = shardMap.shardsOf(id)
    if (shards.length > 1) return (await locate(id))?.shard ?? shards[0] ?? 0
    return shards[0] ?? 0
  }

  /** Deletes the entry of a finished message in the history if it cannot be read. @returns whether it did */
  async function forgetUnreadable(shard: number, id: string): Promise<boolean> {
    const [found] = await scripts.find(shard, [id])
    if (found === undefined || !('raw' in toMessage(found))) return false
    return scripts.forget(shard, { id, entry: found.record })
  }

  async function change(
    shard: number,
    args: { id: string; changes: Changes } & OneChange,
  ): Promise<Message | UnreadableMessage> {
    const reply = await scripts.reschedule(shard, args)
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
  }

  return {
    schedule(message) {
      const { id, due, payload, options, future = false } = message
      if (id !== undefined) return clientIds.schedule(id, message)
      const body = encodeRecordBody(payload, options, undefined, recordForm())
      return groupCommit.add({ due, future, body, indexes: indexesOf(options) })
    },

    async find(id) {
      const located = await locate(id)
      if (located === undefined) throw notFound()
      return toMessage(located.found)
    },

    async reschedule(id, { due, payload, options }, how) {
      const changes = {
        due: due ?? null,
        payload: payload ?? null,
        options: encodeOptions(options, recordForm()),
      }
      return change(await shardFor(id), { id, changes, ...how })
    },

    async deliver(id, how, ignoresPause) {
      const shard = await shardFor(id)
      const changes = { due: 'now', payload: null, options: [] } as const
      const message = await change(shard, { id, changes, ...how })
      // Where it is not scheduled any more, it has been claimed just now.
      if (ignoresPause && (await scripts.letPass(shard, id)) === 'full')
        throw new SchedulerError('TOO_MANY_PASSES', 'as many paused messages wait to be delivered as may')
      return message
    },

    async cancel(id, how) {
      const shard = await shardFor(id)
      const [word = 'unknown'] = await scripts.cancel(shard, {
        ids: [id],
        ...how,
        states: ['scheduled', 'dead', 'stranded'],
      })
      if (word === 'cancelled') metrics.cancelled(1)
      if (word === 'cancelled' || word === 'other') return
      if (word === 'finished' && (await forgetUnreadable(shard, id))) return
      throw refusal(word)
    },
  }
}

const notFound = () => new SchedulerError('MESSAGE_NOT_FOUND', 'no message has this id')

function refusal(word: 'unknown' | 'claimed' | 'finished' | 'damaged' | 'version'): SchedulerError {
  switch (word) {
    case 'unknown':
      return notFound()
    case 'claimed':
      return new SchedulerError('MESSAGE_CLAIMED', 'the message is being delivered')
    case 'finished':
      return new SchedulerError('MESSAGE_FINISHED', 'the message was delivered, dropped or cancelled')
    case 'damaged':
      return new SchedulerError('MESSAGE_DAMAGED', 'the message cannot be read, or is in no state')
    case 'version':
      return new SchedulerError('VERSION_MISMATCH', 'the message has another version')
    default:
      return word satisfies never
  }
}
