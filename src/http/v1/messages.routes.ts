import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { Scheduler } from '../../schedule/scheduler.ts'
import { create } from './create.ts'
import {
  IdParams,
  IfMatchHeaders,
  KnownReply,
  MessageReply,
  NewMessageBody,
  PatchBody,
} from './message.schemas.ts'
import { Problem } from './problem.schemas.ts'
import {
  type CheckDestination,
  etagOf,
  isWhole,
  toNewMessage,
  toPatch,
  toReply,
  versionsOf,
} from './translate.ts'

export interface MessageRoutesOptions {
  readonly scheduler: Scheduler
  /** Redis's clock as last heard of, epoch ms */
  readonly now: () => number
  readonly checkDestination: CheckDestination
}

const problems = { '4xx': Problem, '5xx': Problem }

/** One message: schedule, look at, change, cancel. */
export const messageRoutes: FastifyPluginAsyncTypebox<MessageRoutesOptions> = async (
  app,
  { scheduler, now, checkDestination },
) => {
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
      const { status, message } = await create(scheduler, toNewMessage(request.body, now(), checkDestination))
      reply.code(status).header('location', `${request.publicPath}/v1/messages/${message.id}`)
      if ('version' in message) reply.header('etag', etagOf(message.version))
      return message
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
      const message = await scheduler.find(request.params.id)
      if (!isWhole(message)) return message
      reply.header('etag', etagOf(message.version))
      return toReply(message)
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
      const message = await scheduler.reschedule(request.params.id, patch, ifMatch)
      reply.header('etag', etagOf(message.version))
      return toReply(message)
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
