import type { ScriptContext } from '../define-script.ts'
import { expectWord, type NewHead, newHead } from '../replies.ts'
import { type FoundMessage, STATES } from './query.ts'

/** By whom something is done. */
export interface Acting {
  /** name of the API key; null or absent for none */
  readonly by?: string | null
}

export interface Changes {
  /** null leaves it; "now" also schedules a dead letter again */
  readonly due: { readonly at: number } | { readonly inMs: number } | 'now' | null
  /** JSON text; null leaves it */
  readonly payload: string | null
  /** option letters (see lua/lib/record.lua) and their new values, "" to remove one */
  readonly options: readonly (readonly [name: string, value: string])[]
}

const CANCEL_WORDS = ['cancelled', 'unknown', 'claimed', 'finished', 'other', 'version'] as const
/** States in which a message may be cancelled. */
type CancelledState = 'scheduled' | 'dead' | 'stranded'
export type CancelWord = (typeof CANCEL_WORDS)[number]

const RESCHEDULE_REFUSALS = [
  ...['unknown', 'claimed', 'finished', 'damaged', 'version', 'expired', 'no-not-after'],
] as const
type RescheduleReply =
  | ({ readonly word: 'rescheduled'; readonly found: FoundMessage } & NewHead)
  | { readonly word: (typeof RESCHEDULE_REFUSALS)[number] }

/** A step of an operation: repeated, it changes nothing, and answers what it answered. See lua/lib/step.lua. */
export interface Step {
  readonly operation: string
  /** from 1, rising */
  readonly number: number
  /** when the operation began, epoch ms: messages created later are not meant, nor moved those attempted later */
  readonly mark: number
}

/** Each rejects with a SchedulerError as toSchedulerError says. */
export interface ChangeScripts {
  /**
   * @param ifMatch versions accepted, comma-separated; "" for any
   * @param states in which a message is cancelled
   * @returns a word for each of the first ids, fewer than all if their records are large; none if a later step has run
   * @see lua/schedule/cancel.lua
   */
  cancel(
    shard: number,
    args: {
      ids: readonly string[]
      ifMatch: string
      states: readonly CancelledState[]
      step?: Step
    } & Acting,
  ): Promise<CancelWord[]>
  /** @see lua/schedule/reschedule.lua */
  reschedule(
    shard: number,
    args: { id: string; ifMatch: string; changes: Changes } & Acting,
  ): Promise<RescheduleReply>
  /**
   * Processes at least one id, and fewer than all if their records are large; none if a later step has run.
   *
   * @param byMs "now" lets them fall due now
   * @param everyMs how much later each is than the one before it, not necessarily whole; 0 unless given
   * @param nth the place of the first among those of its operation, from 0
   * @see lua/schedule/shift.lua
   */
  shift(
    shard: number,
    args: {
      ids: readonly string[]
      byMs: number | 'now'
      latest: number
      everyMs?: number
      nth?: number
      step?: Step
    } & Acting,
  ): Promise<
    NewHead & {
      processed: number
      shifted: number
      claimed: number
      unreadable: number
      /** how many were not there when the operation began */
      later: number
      /** the processed ids that were not moved */
      notShifted: string[]
    }
  >
  /**
   * Processes at least one id, and fewer than all if their records are large; none if a later step has run.
   *
   * @param from epoch ms the first is due at; null for now
   * @param everyMs between one and the next, not necessarily whole
   * @param before how many ids earlier calls of the same act have redriven
   * @param changes option letters and their new values, "" to remove one
   * @see lua/schedule/redrive.lua
   */
  redrive(
    shard: number,
    args: {
      ids: readonly string[]
      from: number | null
      everyMs: number
      before: number
      changes?: Changes['options']
      step?: Step
    } & Acting,
  ): Promise<
    NewHead & {
      processed: number
      from: number
      /** how many dead letters are unreadable, and so stay dead */
      unreadable: number
      unknown: string[]
    }
  >
}

const STEP = ['stepKey', 'step'] as const

export function changeScripts({ define, keys }: ScriptContext): ChangeScripts {
  const ofId = { id: (id: string) => id }
  const cancel = define('cancel', {
    args: ['ifMatch', 'states', 'by', ...STEP, 'mark'],
    each: ofId,
    timed: true,
  })
  const reschedule = define('reschedule', {
    args: ['id', 'ifMatch', 'due', 'payload', 'by'],
    each: { letter: ([letter]: Changes['options'][number]) => letter, value: ([, value]) => value },
    timed: true,
  })
  const shift = define('shift', {
    args: ['byMs', 'latest', 'everyMs', 'nth', 'by', ...STEP, 'mark'],
    each: ofId,
    timed: true,
  })
  const redrive = define('redrive', {
    args: ['from', 'everyMs', 'before', 'changes', 'by', ...STEP],
    each: ofId,
    timed: true,
  })
  const cancelWord = expectWord('cancel', CANCEL_WORDS)
  const rescheduleWord = expectWord('reschedule', ['rescheduled', ...RESCHEDULE_REFUSALS])
  const rescheduleState = expectWord('reschedule', STATES)
  const ofStep = (shard: number, step: Step | undefined) => ({
    stepKey: keys(shard).stepPrefix + (step?.operation ?? ''),
    step: step?.number ?? '',
  })
  return {
    cancel: async (shard, { ids, ifMatch, states, by, step }) =>
      (
        await cancel(
          shard,
          { ifMatch, states: states.join(','), by: by ?? '', ...ofStep(shard, step), mark: step?.mark ?? '' },
          ids,
        )
      ).map(cancelWord),

    async reschedule(shard, { id, ifMatch, by, changes: { due, payload, options } }) {
      const args = { id, ifMatch, due: dueText(due), payload: payload ?? '', by: by ?? '' }
      const [answer, state, score, record, attemptCounts, failures, head] = await reschedule(
        shard,
        args,
        options,
      )
      const word = rescheduleWord(answer)
      if (word !== 'rescheduled') return { word }
      const found = {
        id,
        state: rescheduleState(state),
        score: Number(score),
        record: String(record),
        attemptCounts: String(attemptCounts),
        failures: String(failures),
      }
      return { word, found, ...newHead(head) }
    },

    async shift(shard, { ids, byMs, latest, everyMs = 0, nth = 0, by, step }) {
      const args = {
        ...{ byMs, latest, everyMs, nth, by: by ?? '' },
        ...{ ...ofStep(shard, step), mark: step?.mark ?? '' },
      }
      const [processed = 0, shifted = 0, head = '', ...others] = await shift(shard, args, ids)
      const [claimed = 0, unreadable = 0, later = 0] = others.slice(0, 3).map(Number)
      return {
        processed: Number(processed),
        shifted: Number(shifted),
        ...{ claimed, unreadable, later, notShifted: others.slice(3).map(String) },
        ...newHead(head),
      }
    },

    async redrive(shard, { ids, from, everyMs, before, changes = [], by, step }) {
      const reply = await redrive(
        shard,
        {
          ...{ from: from ?? '', everyMs, before, changes: JSON.stringify(Object.fromEntries(changes)) },
          ...{ by: by ?? '', ...ofStep(shard, step) },
        },
        ids,
      )
      const [processed = 0, start = 0, head = '', unreadable = 0, ...unknown] = reply
      return {
        processed: Number(processed),
        from: Number(start),
        unreadable: Number(unreadable),
        unknown: unknown.map(String),
        ...newHead(head),
      }
    },
  }
}

function dueText(due: Changes['due']): string | number {
  if (due === null) return ''
  if (due === 'now') return due
  return 'at' in due ? due.at : `+${due.inMs}`
}
