import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyReply } from 'fastify'
import type { KnownMessage } from '../../../messages/message-view.ts'
import type { Scheduler } from '../../../messages/scheduler.ts'
import { addJsonParser } from '../../body/json-parser.ts'
import { parseMessage } from '../../body/request-json.ts'
import { Problem } from '../problem.schemas.ts'
import { create } from './create.ts'
import { JSON_UTF8, messageText } from './message-text.ts'
import { IdParams, IfMatchHeaders, KnownReply, MessageReply, NewMessageBody, PatchBody } from './schemas.ts'
import { type CheckDestination, etagOf, isWhole, toNewMessage, toPatch, versionsOf } from './translate.ts'

export interface MessageRoutesOptions {
  readonly scheduler: Scheduler
  /** Redis's clock as last heard of, epoch ms */
  readonly now: () => number
  readonly checkDestination: CheckDestination
  /** bytes a body may have */
  readonly bodyLimit: number
}

const problems = { '4xx': Problem, '5xx': Problem }

/** One message: schedule, look at, change, cancel. */
export const messageRoutes: FastifyPluginAsyncTypebox<MessageRoutesOptions> = async (
  app,
  { scheduler, now, checkDestination, bodyLimit },
) => {
  addJsonParser(app, bodyLimit, (text, { method }) =>
    text === '' && method === 'DELETE' ? undefined : parseMessage(text),
  )

  app.post(
    '/messages',
    {
      schema: {
        summary: 'Schedule a message',
        tags: ['messages'],
        body: NewMessageBody,
        response: { 200: KnownReply, 201: MessageReply, ...problems },
      },
    },
    async (request, reply) => {
      const { message, duplicate } = await create(
        scheduler,
        toNewMessage(request.body, now(), checkDestination),
      )
      reply.code(duplicate ? 200 : 201).header('location', `${request.publicPath}/v1/messages/${message.id}`)
      return answer(reply, message, duplicate)
    },
  )

  app.get(
    '/messages/:id',
    {
      schema: {
        summary: 'Look at a message',
        tags: ['messages'],
        params: IdParams,
        response: { 200: KnownReply, ...problems },
      },
    },
    async (request, reply) => {
      return answer(reply, await scheduler.find(request.params.id))
    },
  )

  app.patch(
    '/messages/:id',
    {
      schema: {
        summary: 'Change a message that is not yet being delivered, or dead',
        tags: ['messages'],
        params: IdParams,
        headers: IfMatchHeaders,
        body: PatchBody,
        response: { 200: MessageReply, ...problems },
      },
    },
    async (request, reply) => {
      const ifMatch = versionsOf(request.headers['if-match'])
      const patch = toPatch(request.body, now(), checkDestination)
      return answer(reply, await scheduler.reschedule(request.params.id, patch, ifMatch))
    },
  )

  app.delete(
    '/messages/:id',
    {
      schema: {
        summary: 'Cancel a message: once answered 204, it is never delivered',
        tags: ['messages'],
        params: IdParams,
        headers: IfMatchHeaders,
        response: { 204: Type.Null({ description: 'cancelled' }), ...problems },
      },
    },
    async (request, reply) => {
      await scheduler.cancel(request.params.id, versionsOf(request.headers['if-match']))
      return reply.code(204).send(null)
    },
  )
}

/** Answers a message, as text: past the response schema, which describes it. */
function answer(reply: FastifyReply, message: KnownMessage, duplicate = false): FastifyReply {
  if (isWhole(message)) reply.header('etag', etagOf(message.version))
  return reply.type(JSON_UTF8).send(messageText(message, duplicate))
}
