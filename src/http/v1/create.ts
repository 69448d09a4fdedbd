import { SchedulerError } from '../../errors.ts'
import type { NewMessage, Scheduler } from '../../schedule/scheduler.ts'
import type { MessageReply } from './message.schemas.ts'
import { isWhole, toIso, toReply } from './translate.ts'

export type Created =
  | { readonly status: 201; readonly message: MessageReply }
  | { readonly status: 200; readonly message: KnownDuplicate }

type KnownDuplicate = (MessageReply | Pick<MessageReply, 'id' | 'status'>) & { readonly duplicate: true }

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
      return { status: 200, message: found }
      // It was there a moment ago and is gone: so this one is new.
    ;({ id, dueAt, createdAt, duplicate } = await scheduler.schedule(message))
    if (duplicate) return { status: 200, message: { id, status: 'scheduled', duplicate: true } }
  }
  const { destination = { type: 'console' }, tags = [], retry, notAfter, onLate } = message.options ?? {}
  return {
    status: 201,
    message: {
      id,
      at: toIso(dueAt),
      status: 'scheduled',
      payload: message.payload,
      destination,
      tags: [...new Set(tags)],
      ...(retry === undefined ? {} : { retry }),
      ...(notAfter === undefined ? {} : { notAfter: toIso(notAfter) }),
      ...(onLate === undefined ? {} : { onLate }),
      attempts: 0,
      recoveries: 0,
      version: 1,
      createdAt: toIso(createdAt),
    },
  }
}

async function existing(scheduler: Scheduler, id: string): Promise<KnownDuplicate | undefined> {
  try {
    const message = await scheduler.find(id)
    return isWhole(message) ? { ...toReply(message), duplicate: true } : { ...message, duplicate: true }
  } catch (error) {
    if (error instanceof SchedulerError && error.code === 'MESSAGE_NOT_FOUND') return undefined
    throw error
  }
}
