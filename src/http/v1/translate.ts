import type { Destination, Due } from '../../message.ts'
import type { ForgottenMessage, Message } from '../../schedule/message-view.ts'
import type { NewMessage, Patch } from '../../schedule/scheduler.ts'
import { parseAt, parseDelay } from '../time.ts'
import { type FieldError, InvalidRequestError } from '../validation.ts'
import type { MessageReply, NewMessageBody, PatchBody } from './message.schemas.ts'

/**
 * What no schema can say of a destination: whether a URL is one that may be delivered to, and the like.
 *
 * @returns what is wrong with it; each path begins with /destination
 */
export type CheckDestination = (destination: Destination) => readonly FieldError[]

/** Collects what is wrong with the fields of one request, and throws it all at once. */
class Fields {
  readonly #errors: FieldError[] = []

  /** @returns the value, or undefined after noting what is wrong with it */
  take(name: string, value: number | string): number | undefined {
    if (typeof value === 'number') return value
    this.#errors.push({ path: `/${name}`, message: value })
    return undefined
  }

  refuse(name: string, message: string): void {
    this.#errors.push({ path: `/${name}`, message })
  }

  note(errors: readonly FieldError[]): void {
    this.#errors.push(...errors)
  }

  done(): void {
    if (this.#errors.length > 0) throw new InvalidRequestError(this.#errors)
  }
}

function checkRetry(fields: Fields, retry: NewMessageBody['retry'] | null): void {
  if (retry?.minMs !== undefined && retry.maxMs !== undefined && retry.minMs > retry.maxMs) {
    fields.refuse('retry/minMs', 'must not be more than maxMs')
  }
}

function dueOf(
  fields: Fields,
  { at, delay }: Pick<NewMessageBody, 'at' | 'delay'>,
  now: number,
): Due | undefined {
  if (at !== undefined && delay !== undefined) {
    fields.refuse('delay', 'must not stand beside at')
    return undefined
  }
  if (at !== undefined) {
    const ms = fields.take('at', parseAt(at))
    return ms === undefined ? undefined : { at: ms }
  }
  if (delay === undefined) return undefined
  const inMs = fields.take('delay', parseDelay(delay, now))
  return inMs === undefined ? undefined : { inMs }
}

/**
 * What a client sent, in the domain's words.
 *
 * @param now Redis's clock as last heard of, only to keep delays within the calendar
 * @throws InvalidRequestError naming every field that makes no sense
 */
export function toNewMessage(
  body: NewMessageBody,
  now: number,
  checkDestination: CheckDestination,
): NewMessage {
  const { id, payload, destination, tags, retry, onLate } = body
  const fields = new Fields()
  const due = dueOf(fields, body, now) ?? { inMs: 0 }
  const notAfter = body.notAfter === undefined ? undefined : fields.take('notAfter', parseAt(body.notAfter))
  if (onLate !== undefined && body.notAfter === undefined)
    fields.refuse('onLate', 'says nothing without notAfter')
  if (destination !== undefined) fields.note(checkDestination(destination))
  checkRetry(fields, retry)
  fields.done()
  return {
    ...(id === undefined ? {} : { id }),
    due,
    payload,
    options: {
      ...(destination === undefined ? {} : { destination }),
      ...(tags === undefined ? {} : { tags }),
      ...(retry === undefined ? {} : { retry }),
      ...(notAfter === undefined ? {} : { notAfter }),
      ...(onLate === undefined ? {} : { onLate }),
    },
  }
}

/** The same for a change. @throws InvalidRequestError naming every field that makes no sense */
export function toPatch(body: PatchBody, now: number, checkDestination: CheckDestination): Patch {
  const { destination, tags, retry, onLate, notAfter: given } = body
  const fields = new Fields()
  const due = dueOf(fields, body, now)
  const notAfter = given === undefined || given === null ? undefined : fields.take('notAfter', parseAt(given))
  if (destination !== undefined) fields.note(checkDestination(destination))
  checkRetry(fields, retry)
  fields.done()
  return {
    ...(due === undefined ? {} : { due }),
    ...('payload' in body ? { payload: body.payload } : {}),
    options: {
      ...(destination === undefined ? {} : { destination }),
      ...(tags === undefined ? {} : { tags }),
      ...(retry === undefined ? {} : { retry: retry ?? undefined }),
      ...(given === undefined ? {} : { notAfter }),
      ...(onLate === undefined ? {} : { onLate: onLate ?? undefined }),
    },
  }
}

export const toIso = (ms: number): string => new Date(ms).toISOString()

/** A message as it is answered. */
export function toReply(message: Message): MessageReply {
  const { id, status, dueAt, payload, failures, recoveries, version, createdAt, destination, tags } = message
  const { retry, notAfter, onLate, nextAttemptAt, finishedAt, lateMs, reason, lastAttempts } = message
  return {
    id,
    at: toIso(dueAt),
    status,
    ...(payload === null ? { payloadOmitted: true as const } : { payload: JSON.parse(payload) as unknown }),
    destination,
    tags: [...tags],
    ...(retry === undefined ? {} : { retry }),
    ...(notAfter === undefined ? {} : { notAfter: toIso(notAfter) }),
    ...(onLate === undefined ? {} : { onLate }),
    attempts: failures,
    recoveries,
    version,
    createdAt: toIso(createdAt),
    ...(nextAttemptAt === undefined ? {} : { nextAttemptAt: toIso(nextAttemptAt) }),
    ...(finishedAt === undefined ? {} : { finishedAt: toIso(finishedAt) }),
    ...(lateMs === undefined ? {} : { lateMs }),
    ...(reason === undefined ? {} : { reason }),
    ...(lastAttempts === undefined
      ? {}
      : { lastAttempts: lastAttempts.map((attempt) => ({ ...attempt, at: toIso(attempt.at) })) }),
  }
}

/** Whether more than the id of a message is still known. */
export const isWhole = (message: Message | ForgottenMessage): message is Message => 'dueAt' in message

/**
 * Reads an If-Match header into the versions it accepts, comma-separated; "" where there is no such header.
 * What is no version of ours is left out, and a header with nothing else accepts none.
 */
export function versionsOf(ifMatch: string | undefined): string {
  if (ifMatch === undefined) return ''
  if (ifMatch.trim() === '*') return '*'
  const versions = ifMatch.split(',').flatMap((tag) => /^\s*"([1-9]\d{0,15})"\s*$/.exec(tag)?.[1] ?? [])
  return versions.length === 0 ? 'none' : versions.join(',')
}

export const etagOf = (version: number): string => `"${version}"`
