import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Bulk, Selection } from '../../../messages/bulk.ts'
import { InvalidRequestError } from '../../validation/validation.ts'
import { Problem } from '../problem.schemas.ts'
import { CancelBody, CancelReply, ShiftBody, ShiftReply } from './schemas.ts'

export interface BulkRoutesOptions {
  readonly bulk: Bulk
}

const problems = { '4xx': Problem, '5xx': Problem }

/** Cancels and moves many messages at once. */
export const bulkRoutes: FastifyPluginAsyncTypebox<BulkRoutesOptions> = async (app, { bulk }) => {
  app.post(
    '/messages/cancel',
    {
      schema: {
        summary: 'Cancel many messages',
        tags: ['messages'],
        body: CancelBody,
        response: { 200: CancelReply, ...problems },
      },
    },
    async (request) => bulk.cancel(selectionOf(request.body)),
  )

  app.post(
    '/messages/shift',
    {
      schema: {
        summary: 'Move many messages in time',
        tags: ['messages'],
        body: ShiftBody,
        response: { 200: ShiftReply, ...problems },
      },
    },
    async (request) => ({ shifted: await bulk.shift(selectionOf(request.body), request.body.byMs) }),
  )
}

function selectionOf({ tag, ids }: { tag?: string; ids?: string[] }): Selection {
  if (tag !== undefined && ids === undefined) return { tag }
  if (ids !== undefined && tag === undefined) return { ids }
  throw new InvalidRequestError([{ path: '', message: 'must have exactly one of tag and ids' }])
}
