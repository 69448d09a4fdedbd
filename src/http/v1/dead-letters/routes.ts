import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { DeadLetters, DeadSelection } from '../../../messages/dead-letters.ts'
import { InvalidRequestError } from '../../validation/validation.ts'
import { Problem } from '../problem.schemas.ts'
import { DeleteDeadBody, DeleteDeadReply, RedriveBody, RedriveReply } from './schemas.ts'

export interface DeadRoutesOptions {
  readonly deadLetters: DeadLetters
}

const problems = { '4xx': Problem, '5xx': Problem }

/** Many dead messages: schedule them again, delete them. GET /v1/messages?status=dead lists them. */
export const deadRoutes: FastifyPluginAsyncTypebox<DeadRoutesOptions> = async (app, { deadLetters }) => {
  app.post(
    '/dead/redrive',
    {
      schema: {
        summary: 'Schedule dead messages again',
        tags: ['dead letters'],
        body: RedriveBody,
        response: { 200: RedriveReply, ...problems },
      },
    },
    async (request) => {
      const { body } = request
      const { unreadable, ...rest } = await deadLetters.redrive(selectionOf(body), body.perSecond ?? null)
      return unreadable > 0 ? { ...rest, unreadable } : rest
    },
  )

  app.delete(
    '/dead',
    {
      schema: {
        summary: 'Delete dead messages',
        tags: ['dead letters'],
        body: DeleteDeadBody,
        response: { 200: DeleteDeadReply, ...problems },
      },
    },
    async (request) => ({ deleted: await deadLetters.remove(selectionOf(request.body)) }),
  )
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
