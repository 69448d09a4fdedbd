import type { FastifyReply } from 'fastify'
import type { KnownMessage } from '../../../messages/message-view.ts'
import { JSON_UTF8, messageText } from './message-text.ts'
import { etagOf, isWhole } from './translate.ts'

/**
 * Sends a message as text: past the response schema, which describes it.
 *
 * @param duplicate says that it was there already
 */
export function sendMessage(reply: FastifyReply, message: KnownMessage, duplicate = false): FastifyReply {
  if (isWhole(message)) reply.header('etag', etagOf(message.version))
  return reply.type(JSON_UTF8).send(messageText(message, reply.request.seesContent, duplicate))
}
