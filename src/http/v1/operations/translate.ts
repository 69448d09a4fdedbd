import type { Filter } from '../../../messages/filter.ts'
import type { NewOperation, StoredOperation } from '../../../operations/operations.ts'
import { statusFor, wrongState } from '../../../operations/request.ts'
import { toIso } from '../../../runtime/iso-time.ts'
import { parseDelay } from '../../validation/time.ts'
import { type FieldError, InvalidRequestError } from '../../validation/validation.ts'
import { toFilter } from '../messages/filter.schemas.ts'
import type { CheckDestination } from '../messages/translate.ts'
import { HOW_TO_SAY_ALL, type OperationBody, type OperationReply } from './schemas.ts'

/**
 * What a client asks for, in the domain's words.
 *
 * @param now Redis's clock as last heard of, only to keep a spread within the calendar
 * @throws InvalidRequestError naming every field that makes no sense
 */
export function toOperation(
  body: OperationBody,
  by: string | null,
  now: number,
  checkDestination: CheckDestination,
): NewOperation {
  const { action, perSecond, byMs, destination, retry } = body
  const errors: FieldError[] = []
  const refuse = (path: string, message: string) => void errors.push({ path, message })
  const filter = filterOf(body, refuse)
  const spreadMs = body.spread === undefined ? undefined : parseDelay(body.spread, now)
  if (action === 'shift' && byMs === undefined) refuse('/byMs', 'is missing; a shift requires it')
  if (action !== 'shift' && byMs !== undefined) refuse('/byMs', 'is for the action shift')
  if (typeof spreadMs === 'string') refuse('/spread', spreadMs)
  else if (spreadMs !== undefined) {
    if (action === 'cancel' || action === 'delete') refuse('/spread', 'is for deliver, shift and redrive')
    // Else some would move to later times and some to earlier ones, and no order takes each once.
    if (byMs !== undefined && byMs < 0 && byMs + spreadMs > 0) refuse('/spread', 'must be at most -byMs')
  }
  if (action !== 'redrive') {
    if (destination !== undefined) refuse('/destination', 'is for the action redrive')
    if (retry !== undefined) refuse('/retry', 'is for the action redrive')
  } else if (destination !== undefined) errors.push(...checkDestination(destination))
  if (retry?.minMs !== undefined && retry.maxMs !== undefined && retry.minMs > retry.maxMs)
    refuse('/retry/minMs', 'must be at most maxMs')
  if (errors.length > 0) throw new InvalidRequestError(errors)
  return {
    request: {
      ...{ action, filter },
      ...(perSecond === undefined ? {} : { perSecond }),
      ...(byMs === undefined ? {} : { byMs }),
      ...(typeof spreadMs === 'number' ? { spreadMs } : {}),
    },
    options: {
      ...(destination === undefined ? {} : { destination }),
      ...(retry === undefined ? {} : { retry }),
    },
    by,
  }
}

function filterOf(
  { action, filter: fields, all }: OperationBody,
  refuse: (path: string, message: string) => void,
): Filter {
  if ((fields === undefined) === (all === undefined)) {
    refuse('', `must have exactly one of filter and all: ${HOW_TO_SAY_ALL}`)
    return {}
  }
  const { status, reason, ...others } = fields ?? {}
  const named = {
    ...(status === undefined ? {} : { status }),
    ...(reason === undefined ? {} : { reason }),
  }
  const filter = toFilter({ ...others, ...named, status: statusFor(action, named) }, '/filter')
  const problem = wrongState(action, filter)
  if (problem !== undefined) refuse('/filter/status', problem)
  return filter
}

export function toReply(operation: StoredOperation): OperationReply {
  const { id, action, target, state, matched, done, failed, startedBy, startedAt, finishedAt, reason } =
    operation
  const { claimed, gone, unreadable } = operation
  return {
    ...{ id, action: action as OperationReply['action'], target, state, matched, done, failed },
    ...(failed === 0
      ? {}
      : {
          failures: {
            ...(claimed === 0 ? {} : { claimed }),
            ...(gone === 0 ? {} : { gone }),
            ...(unreadable === 0 ? {} : { unreadable }),
          },
        }),
    ...(reason === '' ? {} : { reason }),
    startedBy,
    startedAt: toIso(startedAt),
    finishedAt: finishedAt === null ? null : toIso(finishedAt),
  }
}
