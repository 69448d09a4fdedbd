import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { DeadSelection } from '../../../messages/dead-letters.ts'
import { describeFilter } from '../../../operations/request.ts'
import { toIso } from '../../../runtime/iso-time.ts'
import { BAD_QUERY, badBody } from '../../openapi/failures.ts'
import { answer, route } from '../../openapi/route.ts'
import { InvalidRequestError } from '../../validation/validation.ts'
import type { ApiDeps } from '../deps.ts'
import {
  DeleteDeadBody,
  DeleteDeadReply,
  GroupsQuery,
  GroupsReply,
  RedriveBody,
  RedriveReply,
} from './schemas.ts'

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
  description: 'Deletes dead letters. Their ids are free again. The history has them as `cancelled`.',
  body: DeleteDeadBody,
  response: { 200: answer('how many were deleted', DeleteDeadReply) },
  fails: [BAD_SELECTION],
})

const GROUPS = route({
  operationId: 'groupDeadMessages',
  tag: 'dead letters',
  summary: 'Group dead letters',
  description:
    'Groups dead letters by reason, destination or tag. A message is in a group for each of its tags. Looks at the ' +
    'newest 100,000 dead letters, and says so if there are more.',
  querystring: GroupsQuery,
  response: { 200: answer('the groups', GroupsReply) },
  fails: [BAD_QUERY],
})

/** Groups, redrives and deletes dead letters. GET /v1/messages?status=dead lists them. */
export const deadRoutes: FastifyPluginAsyncTypebox<
  Pick<ApiDeps, 'deadLetters' | 'deadGroups' | 'actLog'>
> = async (app, { deadLetters, deadGroups, actLog }) => {
  app.post('/dead/redrive', { schema: REDRIVE }, async (request) => {
    const { body } = request
    const selection = selectionOf(body)
    const by = request.apiKey ?? null
    const { unreadable, ...rest } = await deadLetters.redrive(selection, body.perSecond ?? null, by)
    const act = { key: by, act: 'redrive', target: targetOf(selection) }
    actLog.record({ ...act, count: rest.redriven })
    return unreadable > 0 ? { ...rest, unreadable } : rest
  })

  app.delete('/dead', { schema: DELETE }, async (request) => {
    const selection = selectionOf(request.body)
    const deleted = await deadLetters.remove(selection, request.apiKey ?? null)
    const act = { key: request.apiKey ?? null, act: 'delete', target: targetOf(selection) }
    actLog.record({ ...act, count: deleted })
    return { deleted }
  })

  app.get('/dead/groups', { schema: GROUPS }, async (request) => {
    const { groups, omitted, isPart } = await deadGroups(request.query.by ?? 'reason')
    return {
      groups: groups.map(({ first, last, sample, ...group }) => ({
        ...{ ...group, first: toIso(first), last: toIso(last), sample: [...sample] },
      })),
      ...(omitted > 0 ? { omitted } : {}),
      ...(isPart ? { searched: 'part' as const } : {}),
    }
  })
}

const targetOf = (selection: DeadSelection): string =>
  'all' in selection ? 'all' : describeFilter(selection)

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
