import { TypeCompiler } from '@sinclair/typebox/compiler'
import type { FastifyBaseLogger } from 'fastify'
import { SchedulerError } from '../../../domain/errors.ts'
import { CLIENT_ID } from '../../../domain/names.ts'
import type { Scheduler } from '../../../messages/scheduler.ts'
import { TOO_LARGE } from '../../body/body-text.ts'
import { InvalidItem, parseMessage } from '../../body/request-json.ts'
import { toErrorReply } from '../../errors/error-reply.ts'
import type { ErrorReply } from '../../errors/http-error.ts'
import { codeOfStatus } from '../../errors/problem-code.ts'
import { logRefusedWrite } from '../../errors/refused-write-log.ts'
import { explain, InvalidRequestError } from '../../validation/validation.ts'
import { NewMessageBody } from '../messages/schemas.ts'
import { type CheckDestination, toNewMessage } from '../messages/translate.ts'
import type { ItemReply } from './schemas.ts'

/** What became of one message of many; `id` where it is known. */
export type ItemResult =
  | { readonly id: string; readonly status: 200 | 201 }
  | { readonly id?: string; readonly error: ErrorReply }

export interface IntakeDeps {
  readonly scheduler: Pick<Scheduler, 'schedule'>
  /** Redis's clock as last heard of, epoch ms */
  readonly now: () => number
  readonly checkDestination: CheckDestination
  readonly log: FastifyBaseLogger
}

/**
 * Stores one message of many. Neither method rejects: an invalid message has a failure as its outcome, in the words of
 * a single request. Messages that are passed in during one turn of the event loop share a script call.
 */
export interface Intake {
  /**
   * @param value a message of a parsed batch
   * @param limit bytes that its JSON text may have, if limited
   */
  take(value: unknown, limit?: number): Promise<ItemResult>
  /** @param text a message as JSON text */
  takeText(text: string): Promise<ItemResult>
}

const newMessage = TypeCompiler.Compile(NewMessageBody)
const clientId = new RegExp(CLIENT_ID)

const TOO_LARGE_RESULT: ItemResult = { error: TOO_LARGE }

export function createIntake({ scheduler, now, checkDestination, log }: IntakeDeps): Intake {
  let lastBug: unknown

  function refusedItem(value: unknown, error: unknown): ItemResult {
    const id = idOf(value) ?? (error instanceof SchedulerError ? error.id : undefined)
    return id === undefined ? { error: errorReplyOf(error) } : { id, error: errorReplyOf(error) }
  }

  function errorReplyOf(error: unknown): ErrorReply {
    const errorReply = toErrorReply(error)
    if (errorReply.status === 500 && error !== lastBug) {
      lastBug = error // the same one for all messages of a call
      log.error({ err: error }, 'message of a batch failed')
    }
    logRefusedWrite(error, log)
    return errorReply
  }

  async function take(value: unknown, limit?: number): Promise<ItemResult> {
    try {
      if (value instanceof InvalidItem) return refusedItem(value.value, value.error)
      if (limit !== undefined && !fits(value, limit)) return TOO_LARGE_RESULT
      if (!newMessage.Check(value)) throw new InvalidRequestError(explain(newMessage.Errors(value)))
      const { id, duplicate } = await scheduler.schedule(toNewMessage(value, now(), checkDestination))
      return { id, status: duplicate ? 200 : 201 }
    } catch (error) {
      return refusedItem(value, error)
    }
  }

  return {
    take,
    takeText(text) {
      let value: unknown
      try {
        value = parseMessage(text)
      } catch (error) {
        return Promise.resolve(refusedItem(undefined, error))
      }
      return take(value)
    },
  }
}

/** The id a client gave, so that it finds its message again; one that is none is not repeated to it. */
function idOf(value: unknown): string | undefined {
  const { id } = (value ?? {}) as { id?: unknown }
  return typeof id === 'string' && clientId.test(id) ? id : undefined
}

/** An outcome as it is answered. */
export function toItemReply(result: ItemResult): ItemReply {
  if ('status' in result) return result
  const { id, error } = result
  const { status, code = codeOfStatus(status), detail } = error
  return id === undefined ? { status, code, detail } : { id, status, code, detail }
}

/** Why Redis did not confirm it; undefined for any other outcome. */
export const unconfirmed = (result: ItemResult): ErrorReply | undefined =>
  'error' in result && result.error.status === 503 ? result.error : undefined

/**
 * Whether a parsed message has at most `limit` bytes as JSON text without white space. Only a message close to the
 * limit is serialized.
 */
export function fits(message: unknown, limit: number): boolean {
  const { payload, ...fields } = Object(message) as { payload?: unknown }
  if (typeof payload !== 'string')
    return atMost(message, 0) <= limit || bytesOf(JSON.stringify(message)) <= limit
  if (payload.length * WIDEST_RAW_CHARACTER + atMost(fields, 0) + PAYLOAD_NAME <= limit) return true
  return bytesOf(payload) + bytesOf(JSON.stringify({ ...fields, payload: null })) - bytesOf('null') <= limit
}

const bytesOf = (text: string) => Buffer.byteLength(text)
/** Of a string's UTF-16 in UTF-8, in bytes for each unit. */
const WIDEST_RAW_CHARACTER = 3
const PAYLOAD_NAME = '"payload":,'.length
/** A control character, as \u0000; no character takes more. */
const WIDEST_CHARACTER = 6
const WIDEST_NUMBER = 26
const DEEP = 50

/** No less than the bytes of a parsed value's JSON text; Infinity for one that is too deep to look through. */
function atMost(value: unknown, depth: number): number {
  if (typeof value === 'string') return value.length * WIDEST_CHARACTER + 2
  if (typeof value !== 'object' || value === null) return WIDEST_NUMBER
  if (depth === DEEP) return Number.POSITIVE_INFINITY
  let bytes = 2
  if (Array.isArray(value)) {
    for (const each of value) bytes += atMost(each, depth + 1) + 1
    return bytes
  }
  // Parsed from JSON: every key is its own.
  for (const key in value) {
    bytes += key.length * WIDEST_CHARACTER + 4 + atMost((value as Record<string, unknown>)[key], depth + 1)
  }
  return bytes
}
