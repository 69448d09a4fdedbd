import { SchedulerError } from '../../../domain/errors.ts'
import type { KnownMessage } from '../../../messages/message-view.ts'
import type { NewMessage } from '../../../messages/new-message.ts'
import type { Scheduler } from '../../../messages/scheduler.ts'

/** A message that was scheduled, or that was there already. */
export interface Created {
  readonly message: KnownMessage
  readonly duplicate: boolean
}

/**
 * Schedules one message and answers it as it now is, or, for a known id with the same content, the one that is there.
 *
 * @throws SchedulerError as Scheduler.schedule says
 */
export async function create(scheduler: Scheduler, message: NewMessage): Promise<Created> {
  let { id, dueAt, createdAt, duplicate } = await scheduler.schedule(message)
  if (duplicate) {
    const found = await existing(scheduler, id)
    if (found !== undefined)
      return { message: found, duplicate }
      // It was there a moment ago and is gone: so this one is new.
    ;({ id, dueAt, createdAt, duplicate } = await scheduler.schedule(message))
    if (duplicate) return { message: { id, status: 'scheduled' }, duplicate }
  }
  const { destination = { type: 'console' }, tags = [], retry, notAfter, onLate } = message.options ?? {}
  return {
    duplicate,
    message: {
      id,
      dueAt,
      status: 'scheduled',
      payload: message.payload,
      destination,
      tags: [...new Set(tags)],
      ...(retry === undefined ? {} : { retry }),
      ...(notAfter === undefined ? {} : { notAfter }),
      ...(onLate === undefined ? {} : { onLate }),
      failures: 0,
      recoveries: 0,
      version: 1,
      createdAt,
    },
  }
}

/** Undefined for a cancelled message, too: its id is free. */
async function existing(scheduler: Scheduler, id: string): Promise<KnownMessage | undefined> {
  try {
    const found = await scheduler.find(id)
    return found.status === 'cancelled' ? undefined : found
  } catch (error) {
    if (error instanceof SchedulerError && error.code === 'MESSAGE_NOT_FOUND') return undefined
    throw error
  }
}
