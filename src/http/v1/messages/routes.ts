import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { addJsonParser } from '../../body/json-parser.ts'
import { parseMessage } from '../../body/request-json.ts'
import { BAD_BODY, BAD_PATH } from '../../openapi/failures.ts'
import { ETAG_IF_KNOWN, headers } from '../../openapi/headers.ts'
import { answer, route } from '../../openapi/route.ts'
import type { ApiDeps } from '../deps.ts'
import { create } from './create.ts'
import { IdempotencyHeaders, IdParams, IfMatchHeaders } from './request.schemas.ts'
import { KnownReply, MessageReply, NewMessageBody, PatchBody } from './schemas.ts'
import { sendMessage } from './send-message.ts'
import { howOf, toNewMessage, toPatch } from './translate.ts'

type Deps = Pick<ApiDeps, 'scheduler' | 'actLog' | 'now' | 'checkDestination' | 'bodyLimit'>

/** The answer to an id that is in use with the same content. */
const DUPLICATE = { ...KnownReply.examples[0], id: 'invoice-4711-reminder', duplicate: true }

const SCHEDULE = route({
  operationId: 'scheduleMessage',
  tag: 'messages',
  summary: 'Schedule a message',
  description:
    'Stores a message until its due time. An `id` of your own makes it safe to repeat the request: the same ' +
    'content answers 200 with the stored message, different content answers 409. A header `Idempotency-Key` is the ' +
    'id where the body has none.',
  headers: IdempotencyHeaders,
  body: NewMessageBody,
  response: {
    200: answer('the id is in use with the same content; nothing was stored', KnownReply, {
      headers: { ...headers('Location'), ...ETAG_IF_KNOWN },
      example: DUPLICATE,
    }),
    201: answer('the message is stored', MessageReply, { headers: headers('Location', 'ETag') }),
  },
  fails: [BAD_BODY, 'ID_CONFLICT'],
})

const GET = route({
  operationId: 'getMessage',
  tag: 'messages',
  summary: 'Get a message',
  description:
    'Finished and cancelled messages are found as long as the history keeps them. If another program has changed ' +
    'the record ' +
    'in Redis so that it is unreadable, the answer has its raw text. A message that is stored, but neither ' +
    'scheduled, claimed nor dead, is `stranded`: it is in no list and will not be delivered; ' +
    '`npm run audit` finds all of them.',
  params: IdParams,
  response: { 200: answer('the message', KnownReply, { headers: ETAG_IF_KNOWN }) },
  fails: [BAD_PATH, 'MESSAGE_NOT_FOUND'],
})

const UPDATE = route({
  operationId: 'changeMessage',
  tag: 'messages',
  summary: 'Update a message',
  description:
    'Changes the given fields atomically, until delivery begins. A dead letter can be updated too; it stays ' +
    'dead until it is redriven.',
  params: IdParams,
  headers: IfMatchHeaders,
  body: PatchBody,
  response: { 200: answer('the updated message', MessageReply, { headers: headers('ETag') }) },
  fails: [
    BAD_BODY,
    'MESSAGE_NOT_FOUND',
    'MESSAGE_CLAIMED',
    'MESSAGE_FINISHED',
    'MESSAGE_DAMAGED',
    'VERSION_MISMATCH',
  ],
})

const CANCEL = route({
  operationId: 'cancelMessage',
  tag: 'messages',
  summary: 'Cancel a message',
  description:
    'After 204 the message, scheduled or dead, is never delivered. Its id is free at once. The history has it as ' +
    '`cancelled`. Deletes an unreadable message too, also from the history.',
  params: IdParams,
  headers: IfMatchHeaders,
  response: { 204: answer('the message is cancelled', Type.Null()) },
  fails: [BAD_PATH, 'MESSAGE_NOT_FOUND', 'MESSAGE_CLAIMED', 'MESSAGE_FINISHED', 'VERSION_MISMATCH'],
})

/** One message: schedule, get, update, cancel. */
export const messageRoutes: FastifyPluginAsyncTypebox<Deps> = async (
  app,
  { scheduler, actLog, now, checkDestination, bodyLimit },
) => {
  addJsonParser(app, bodyLimit, (text, { method }) =>
    text === '' && method === 'DELETE' ? undefined : parseMessage(text),
  )

  app.post('/messages', { schema: SCHEDULE }, async (request, reply) => {
    const { message, duplicate } = await create(
      scheduler,
      toNewMessage(withId(request.body, request.headers['idempotency-key']), now(), checkDestination),
    )
    reply.code(duplicate ? 200 : 201).header('location', `${request.publicPath}/v1/messages/${message.id}`)
    return sendMessage(reply, message, duplicate)
  })

  app.get('/messages/:id', { schema: GET }, async (request, reply) => {
    return sendMessage(reply, await scheduler.find(request.params.id))
  })

  app.patch('/messages/:id', { schema: UPDATE }, async (request, reply) => {
    const patch = toPatch(request.body, now(), checkDestination)
    const message = await scheduler.reschedule(request.params.id, patch, howOf(request))
    actLog.record({ key: request.apiKey ?? null, act: 'reschedule', target: message.id, count: 1 })
    return sendMessage(reply, message)
  })

  app.delete('/messages/:id', { schema: CANCEL }, async (request, reply) => {
    const { id } = request.params
    await scheduler.cancel(id, howOf(request))
    actLog.record({ key: request.apiKey ?? null, act: 'cancel', target: id, count: 1 })
    return reply.code(204).send(null)
  })
}

/** @param key of the header, for a message without an id of its own */
const withId = (body: NewMessageBody, key: string | undefined): NewMessageBody =>
  key === undefined || body.id !== undefined ? body : { ...body, id: key }
