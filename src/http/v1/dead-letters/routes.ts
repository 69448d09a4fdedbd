import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { DeadSelection } from '../../../messages/dead-letters.ts'
import { badBody } from '../../openapi/failures.ts'
import { answer, route } from '../../openapi/route.ts'
import { InvalidRequestError } from '../../validation/validation.ts'
import type { ApiDeps } from '../deps.ts'
import { DeleteDeadBody, DeleteDeadReply, RedriveBody, RedriveReply } from './schemas.ts'

const BAD_SELECTION = badBody('body: must have exactly one of ids, tag and all')

const REDRIVE = route({
  operationId: 'redriveMessages',
  tag: 'dead letters',
  summary: 'Redrive dead letters',
  description:
    'Schedules dead letters again, with all their attempts, immediately or at a limited rate. To repair a ' +
    'message first, PATCH it. Unreadable messages stay dead.',
  body: RedriveBody,
  response: {
    200: answer('how many were redriven, how many are unreadable, and the unknown ids', RedriveReply),
  },
  fails: [BAD_SELECTION],
})

const DELETE = route({
  operationId: 'deleteDeadMessages',
  tag: 'dead letters',
  summary: 'Delete dead letters',
  description: 'Deletes dead letters. Their ids are free again.',
  body: DeleteDeadBody,
  response: { 200: answer('how many were deleted', DeleteDeadReply) },
  fails: [BAD_SELECTION],
})

/** Redrives and deletes dead letters. GET /v1/messages?status=dead lists them. */
export const deadRoutes: FastifyPluginAsyncTypebox<Pick<ApiDeps, 'deadLetters'>> = async (
  app,
  { deadLetters },
) => {
  app.post('/dead/redrive', { schema: REDRIVE }, async (request) => {
    const { body } = request
    const { unreadable, ...rest } = await deadLetters.redrive(selectionOf(body), body.perSecond ?? null)
    return unreadable > 0 ? { ...rest, unreadable } : rest
  })

  app.delete('/dead', { schema: DELETE }, async (request) => ({
    deleted: await deadLetters.remove(selectionOf(request.body)),
  }))
}

function selectionOf({ ids, tag, all }: { ids?: string[]; tag?: string; all?: true }): DeadSelection {
  const given = [
    ...(ids === undefined ? [] : [{ ids }]),
    ...(tag === undefined ? [] : [{ tag }]),
    ...(all === undefined ? [] : [{ all }]),
  ]
  const [selection] = given
  if (selection !== undefined && given.length === 1) return selection
  throw new InvalidRequestError([{ path: '', message: 'must have exactly one of ids, tag and all' }])
}
