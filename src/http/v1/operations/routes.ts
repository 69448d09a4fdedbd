import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import { BAD_BODY, BAD_PATH } from '../../openapi/failures.ts'
import { headers } from '../../openapi/headers.ts'
import { answer, route } from '../../openapi/route.ts'
import type { ApiDeps } from '../deps.ts'
import { JSON_UTF8, messageText } from '../messages/message-text.ts'
import { OperationBody, OperationParams, OperationReply, OperationsReply, PreviewReply } from './schemas.ts'
import { toOperation, toReply } from './translate.ts'

const BEGIN = route({
  operationId: 'beginOperation',
  tag: 'operations',
  summary: 'Act on every message that matches',
  description:
    'Cancels, shifts, redrives, deletes or delivers in the background what matched when it began, each message once. ' +
    'It continues when its server dies. Not atomic: what others do meanwhile is done before or after.',
  body: OperationBody,
  response: {
    200: answer('a dry run: how many messages match, and the first three', PreviewReply),
    202: answer('the operation runs', OperationReply, { headers: headers('Location') }),
  },
  fails: [BAD_BODY, 'LIMIT_REACHED'],
})

const LIST = route({
  operationId: 'listOperations',
  tag: 'operations',
  summary: 'List operations',
  description: 'Those that run, and those that ended in the last 7 days, 200 at most; the newest first.',
  response: { 200: answer('the operations', OperationsReply) },
})

const GET = route({
  operationId: 'getOperation',
  tag: 'operations',
  summary: 'Get an operation',
  description: 'Tells how far an operation is.',
  params: OperationParams,
  response: { 200: answer('the operation', OperationReply) },
  fails: [BAD_PATH, 'OPERATION_NOT_FOUND'],
})

const STOP = route({
  operationId: 'stopOperation',
  tag: 'operations',
  summary: 'Stop an operation',
  description:
    'It does nothing more within a second. What it has done stays. An operation that has ended stays as it is.',
  params: OperationParams,
  response: { 200: answer('the operation', OperationReply) },
  fails: [BAD_PATH, 'OPERATION_NOT_FOUND'],
})

type Deps = Pick<ApiDeps, 'operations' | 'actLog' | 'checkDestination' | 'now'>

/** Acts on many messages in the background. */
export const operationRoutes: FastifyPluginAsyncTypebox<Deps> = async (
  app,
  { operations, actLog, checkDestination, now },
) => {
  app.post('/operations', { schema: BEGIN }, async (request, reply) => {
    const key = request.apiKey ?? null
    const order = toOperation(request.body, key, now(), checkDestination)
    if (request.body.dryRun === true) {
      const { count, isAtLeast, first } = await operations.preview(order.request.filter)
      const texts = first.map((message) => messageText(message, request.seesContent)).join(',')
      const atLeast = isAtLeast ? ',"atLeast":true' : ''
      // Text, as the payloads in it are, and so past the response schema, which describes it.
      return (reply as FastifyReply)
        .type(JSON_UTF8)
        .send(`{"dryRun":true,"count":${count}${atLeast},"first":[${texts}]}`)
    }
    const operation = await operations.begin(order)
    const { id, action, target, matched } = operation
    actLog.record({ key, act: action, target, count: matched ?? 0, note: `operation ${id}` })
    reply.code(202).header('location', `${request.publicPath}/v1/operations/${id}`)
    return toReply(operation)
  })

  app.get('/operations', { schema: LIST }, async () => ({
    operations: (await operations.list()).map(toReply),
  }))

  app.get('/operations/:id', { schema: GET }, async (request) =>
    toReply(await operations.find(request.params.id)),
  )

  app.delete('/operations/:id', { schema: STOP }, async (request) => {
    const operation = await operations.stop(request.params.id)
    actLog.record({ key: request.apiKey ?? null, act: 'stop', target: operation.id, count: operation.done })
    return toReply(operation)
  })
}
