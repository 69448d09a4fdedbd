import { SchedulerError } from '../domain/errors.ts'
import { LAST_MS } from '../domain/message.ts'
import type { KnownMessage } from './message-view.ts'
import type { NewMessage } from './new-message.ts'
import type { Patch } from './scheduler.ts'

/**
 * A new message like one that is known, in any state. Without a due time it has that of the original, or is due now if
 * that has come. A not-after that is not overridden stays as far from the due time as it was.
 *
 * @param now Redis's clock as last heard of, epoch ms
 * @throws SchedulerError MESSAGE_DAMAGED; PAYLOAD_FORGOTTEN where the history has left the payload out and the
 *   overrides have none; ON_LATE_WITHOUT_NOT_AFTER
 */
export function copyOf(original: KnownMessage, overrides: Patch, now: number): NewMessage {
  if ('raw' in original) throw new SchedulerError('MESSAGE_DAMAGED', 'the message cannot be read')
  const payload = overrides.payload ?? ('dueAt' in original ? original.payload : null)
  if (!('dueAt' in original) || payload === null)
    throw new SchedulerError('PAYLOAD_FORGOTTEN', 'the history does not have the payload')
  const { destination, tags, retry, onLate } = original
  const notAfter = 'notAfter' in overrides.options ? undefined : original.notAfter
  const due = overrides.due ?? { at: Math.max(original.dueAt, now) }
  const options = {
    ...{ destination, tags },
    ...(retry === undefined ? {} : { retry }),
    ...(onLate === undefined ? {} : { onLate }),
    ...given(overrides.options),
  }
  if (notAfter === undefined) {
    if (options.onLate !== undefined && options.notAfter === undefined)
      throw new SchedulerError('ON_LATE_WITHOUT_NOT_AFTER', 'onLate requires notAfter')
    return { due, payload, options }
  }
  // Both count from the same time, so that the not-after is never before the due time.
  const at = 'at' in due ? due.at : now + due.inMs
  return {
    ...{ due: { at }, payload },
    options: { ...options, notAfter: Math.min(LAST_MS, at + notAfter - original.dueAt) },
  }
}

/** The options that have a value. */
function given(options: Patch['options']): NonNullable<NewMessage['options']> {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries) as NonNullable<NewMessage['options']> // the same names with their values
}
