import type { Destination } from '../../../domain/message.ts'
import type { KnownMessage, Message } from '../../../messages/message-view.ts'
import { toIso } from '../../../runtime/iso-time.ts'
import { isWhole } from './translate.ts'

/** Of a reply that is written here and not by a schema's serializer. */
export const JSON_UTF8 = 'application/json; charset=utf-8'

/**
 * A message as it is answered, as JSON text: its payload is put in as it is stored. @see MessageReply
 *
 * @param seesContent whether payload, headers and bodies belong into it, see FastifyRequest
 * @param duplicate says that it was there already
 */
export function messageText(message: KnownMessage, seesContent: boolean, duplicate = false): string {
  const flag = duplicate ? ',"duplicate":true' : ''
  const { id, status } = message
  let text = `{"id":${JSON.stringify(id)}`
  if (!isWhole(message)) {
    text += `,"status":"${status}"`
    if ('raw' in message) {
      const raw = seesContent ? `,"raw":${JSON.stringify(message.raw)}` : ''
      text += `,"unreadable":true${raw}${failureText(message, seesContent)}`
    }
    return `${text}${flag}}`
  }
  const { dueAt, payload, failures, recoveries, version, createdAt, destination, tags } = message
  const { retry, notAfter, onLate, nextAttemptAt, finishedAt, lateMs, cancelledBy } = message
  text += `,"at":"${toIso(dueAt)}","status":"${status}"`
  text += payload === null || !seesContent ? ',"payloadOmitted":true' : `,"payload":${payload}`
  const shown = seesContent ? destination : withoutHeaders(destination)
  text += `,"destination":${JSON.stringify(shown)},"tags":${JSON.stringify(tags)}`
  if (retry !== undefined) text += `,"retry":${JSON.stringify(retry)}`
  if (notAfter !== undefined) text += `,"notAfter":"${toIso(notAfter)}"`
  if (onLate !== undefined) text += `,"onLate":"${onLate}"`
  text += `,"attempts":${failures},"recoveries":${recoveries},"version":${version},"createdAt":"${toIso(createdAt)}"`
  if (nextAttemptAt !== undefined) text += `,"nextAttemptAt":"${toIso(nextAttemptAt)}"`
  if (finishedAt !== undefined) text += `,"finishedAt":"${toIso(finishedAt)}"`
  if (lateMs !== undefined) text += `,"lateMs":${lateMs}`
  if (cancelledBy !== undefined) text += `,"cancelledBy":"${cancelledBy}"`
  return `${text}${failureText(message, seesContent)}${flag}}`
}

function failureText(
  { reason, lastAttempts }: Pick<Message, 'reason' | 'lastAttempts'>,
  seesContent: boolean,
): string {
  if (reason === undefined) return ''
  const attempts = (lastAttempts ?? []).map(({ body, ...attempt }) => ({
    ...attempt,
    ...(body === undefined || !seesContent ? {} : { body }),
    at: toIso(attempt.at),
  }))
  return `,"reason":${JSON.stringify(reason)},"lastAttempts":${JSON.stringify(attempts)}`
}

/** A destination for who sees no content. */
export function withoutHeaders(destination: Destination): Destination {
  const { headers: _, ...rest } = destination as Destination & { readonly headers?: unknown }
  return rest
}
