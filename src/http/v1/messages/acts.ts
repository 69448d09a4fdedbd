import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { copyOf } from '../../../messages/copy.ts'
import { addOptionalJsonParser, withoutBodyEmpty } from '../../body/json-parser.ts'
import { parseMessage } from '../../body/request-json.ts'
import { BAD_BODY } from '../../openapi/failures.ts'
import { headers } from '../../openapi/headers.ts'
import { answer, route } from '../../openapi/route.ts'
import type { ApiDeps } from '../deps.ts'
import { CopyBody, DeliverBody } from './acts.schemas.ts'
import { create } from './create.ts'
import { IdParams, IfMatchHeaders } from './request.schemas.ts'
import { MessageReply } from './schemas.ts'
import { sendMessage } from './send-message.ts'
import { howOf, toPatch } from './translate.ts'

type Deps = Pick<ApiDeps, 'scheduler' | 'actLog' | 'now' | 'checkDestination' | 'bodyLimit'>

const DELIVER = route({
  operationId: 'deliverMessage',
  tag: 'messages',
  summary: 'Deliver a message now',
  description:
    'Makes a scheduled message due now, also one that waits for a retry. A dead letter is scheduled again, with all ' +
    'its attempts. `at` changes only if it was still to come.',
  params: IdParams,
  headers: IfMatchHeaders,
  body: DeliverBody,
  bodyOptional: true,
  response: { 200: answer('the message, which is due', MessageReply, { headers: headers('ETag') }) },
  fails: [
    BAD_BODY,
    'MESSAGE_NOT_FOUND',
    'MESSAGE_CLAIMED',
    'MESSAGE_FINISHED',
    'MESSAGE_DAMAGED',
    'VERSION_MISMATCH',
    'TOO_MANY_PASSES',
  ],
})

const COPY = route({
  operationId: 'copyMessage',
  tag: 'messages',
  summary: 'Copy a message',
  description:
    'Schedules a new message like one in any state, with an id that the server makes. The body overrides fields. ' +
    'Without `at` and `delay`, the copy is due at the same time, or now if that has come. `notAfter` stays as far ' +
    'from the due time as it was.',
  params: IdParams,
  body: CopyBody,
  bodyOptional: true,
  response: { 201: answer('the copy is stored', MessageReply, { headers: headers('Location', 'ETag') }) },
  fails: [BAD_BODY, 'MESSAGE_NOT_FOUND', 'MESSAGE_DAMAGED', 'PAYLOAD_FORGOTTEN'],
})

/** What else can be done with one message: deliver it now, copy it. */
export const messageActRoutes: FastifyPluginAsyncTypebox<Deps> = async (
  app,
  { scheduler, actLog, now, checkDestination, bodyLimit },
) => {
  addOptionalJsonParser(app, bodyLimit, parseMessage)

  app.post(
    '/messages/:id/deliver',
    { schema: DELIVER, preValidation: withoutBodyEmpty },
    async (request, reply) => {
      const { ignorePause = false } = request.body
      const message = await scheduler.deliver(request.params.id, howOf(request), ignorePause)
      actLog.record({ key: request.apiKey ?? null, act: 'deliver', target: message.id, count: 1 })
      return sendMessage(reply, message)
    },
  )

  app.post(
    '/messages/:id/copy',
    { schema: COPY, preValidation: withoutBodyEmpty },
    async (request, reply) => {
      const overrides = toPatch(request.body, now(), checkDestination)
      const original = await scheduler.find(request.params.id)
      const { message } = await create(scheduler, copyOf(original, overrides, now()))
      const act = { key: request.apiKey ?? null, act: 'copy', target: original.id, count: 1 }
      actLog.record({ ...act, note: `as ${message.id}` })
      reply.code(201).header('location', `${request.publicPath}/v1/messages/${message.id}`)
      return sendMessage(reply, message)
    },
  )
}
