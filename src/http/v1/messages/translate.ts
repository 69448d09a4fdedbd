import type { FastifyRequest } from 'fastify'
import type { Destination, Due } from '../../../domain/message.ts'
import type { KnownMessage, Message } from '../../../messages/message-view.ts'
import type { NewMessage } from '../../../messages/new-message.ts'
import type { OneChange, Patch } from '../../../messages/scheduler.ts'
import { DEEP, type PayloadText, TOO_DEEP } from '../../body/request-json.ts'
import { parseAt, parseDelay } from '../../validation/time.ts'
import { type FieldError, InvalidRequestError } from '../../validation/validation.ts'
import type { NewMessageBody, PatchBody } from './schemas.ts'

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

  /** @param payload as parseMessage left it */
  payload(payload: unknown): string {
    const text = payload as PayloadText
    if (text !== TOO_DEEP) return text
    this.refuse('payload', DEEP)
    return ''
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
    fields.refuse('retry/minMs', 'must be at most maxMs')
  }
}

function dueOf(
  fields: Fields,
  { at, delay }: Pick<NewMessageBody, 'at' | 'delay'>,
  now: number,
): Due | undefined {
  if (at !== undefined && delay !== undefined) {
    fields.refuse('delay', 'cannot be combined with at')
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
  const { id, destination, tags, retry, onLate } = body
  const fields = new Fields()
  const payload = fields.payload(body.payload)
  const due = dueOf(fields, body, now) ?? { inMs: 0 }
  const notAfter = body.notAfter === undefined ? undefined : fields.take('notAfter', parseAt(body.notAfter))
  if (onLate !== undefined && body.notAfter === undefined) fields.refuse('onLate', 'requires notAfter')
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
  const payload = 'payload' in body ? fields.payload(body.payload) : undefined
  const notAfter = given === undefined || given === null ? undefined : fields.take('notAfter', parseAt(given))
  if (destination !== undefined) fields.note(checkDestination(destination))
  checkRetry(fields, retry)
  fields.done()
  return {
    ...(due === undefined ? {} : { due }),
    ...(payload === undefined ? {} : { payload }),
    options: {
      ...(destination === undefined ? {} : { destination }),
      ...(tags === undefined ? {} : { tags }),
      ...(retry === undefined ? {} : { retry: retry ?? undefined }),
      ...(given === undefined ? {} : { notAfter }),
      ...(onLate === undefined ? {} : { onLate: onLate ?? undefined }),
    },
  }
}

/** Whether all of a message is known, and can be read. */
export const isWhole = (message: KnownMessage): message is Message => 'dueAt' in message

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

/** Under which condition a request changes a message, and by whom. */
export const howOf = ({
  headers,
  apiKey,
}: Pick<FastifyRequest, 'apiKey'> & { readonly headers: { readonly 'if-match'?: string } }): OneChange => ({
  ifMatch: versionsOf(headers['if-match']),
  by: apiKey ?? null,
})
