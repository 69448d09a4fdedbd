import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Selection } from '../../../messages/bulk.ts'
import { describeFilter } from '../../../operations/request.ts'
import { BAD_BODY } from '../../openapi/failures.ts'
import { answer, route } from '../../openapi/route.ts'
import { InvalidRequestError } from '../../validation/validation.ts'
import type { ApiDeps } from '../deps.ts'
import { CancelBody, CancelReply, ShiftBody, ShiftReply } from './schemas.ts'

const CANCEL = route({
  operationId: 'cancelMessages',
  tag: 'messages',
  summary: 'Cancel many messages',
  description: 'Cancels all scheduled messages with a tag, or with the given ids.',
  body: CancelBody,
  response: { 200: answer('how many messages were cancelled', CancelReply) },
  fails: [BAD_BODY],
})

const SHIFT = route({
  operationId: 'shiftMessages',
  tag: 'messages',
  summary: 'Shift the due times of many messages',
  description:
    'Shifts the due time of each scheduled message exactly once, and its notAfter with it. Not atomic: other ' +
    'requests may see some messages moved and others not.',
  body: ShiftBody,
  response: { 200: answer('how many messages were shifted', ShiftReply) },
  fails: [BAD_BODY],
})

/** Cancels and moves many messages at once. */
export const bulkRoutes: FastifyPluginAsyncTypebox<Pick<ApiDeps, 'bulk' | 'actLog'>> = async (
  app,
  { bulk, actLog },
) => {
  app.post('/messages/cancel', { schema: CANCEL }, async (request) => {
    const selection = selectionOf(request.body)
    const cancelled = await bulk.cancel(selection, request.apiKey ?? null)
    const act = { key: request.apiKey ?? null, act: 'cancel', target: describeFilter(selection) }
    actLog.record({ ...act, count: cancelled.cancelled })
    return cancelled
  })

  app.post('/messages/shift', { schema: SHIFT }, async (request) => {
    const selection = selectionOf(request.body)
    const { byMs } = request.body
    const shifted = await bulk.shift(selection, byMs, request.apiKey ?? null)
    const act = { key: request.apiKey ?? null, act: 'shift', target: describeFilter(selection) }
    actLog.record({ ...act, count: shifted, note: `by ${byMs} ms` })
    return { shifted }
  })
}

function selectionOf({ tag, ids }: { tag?: string; ids?: string[] }): Selection {
  if (tag !== undefined && ids === undefined) return { tag }
  if (ids !== undefined && tag === undefined) return { ids }
  throw new InvalidRequestError([{ path: '', message: 'must have exactly one of tag and ids' }])
}
