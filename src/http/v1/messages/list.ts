import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import { BAD_QUERY } from '../../openapi/failures.ts'
import { answer, route } from '../../openapi/route.ts'
import { timeOf } from '../../validation/time.ts'
import { InvalidRequestError } from '../../validation/validation.ts'
import type { ApiDeps } from '../deps.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import { ListQuery, ListReply } from './list.schemas.ts'
import { JSON_UTF8, messageText } from './message-text.ts'

const DEFAULT_LIMIT = 100

const LIST = route({
  operationId: 'listMessages',
  tag: 'messages',
  summary: 'List messages',
  description:
    'Page by page, ordered by time. A message that is there all the time is neither missed nor repeated, ' +
    'however many others come and go. A page ends early at 16 MiB.',
  querystring: ListQuery,
  response: { 200: answer('a page of messages', ListReply) },
  fails: [BAD_QUERY],
})

/** Lists messages, page by page. */
export const listRoutes: FastifyPluginAsyncTypebox<Pick<ApiDeps, 'listPage'>> = async (app, { listPage }) => {
  app.get('/messages', { schema: LIST }, async (request, reply) => {
    const { status = 'scheduled', tag, limit = DEFAULT_LIMIT, cursor } = request.query
    const from = timeOf('from', request.query.from)
    const to = timeOf('to', request.query.to)
    if (tag !== undefined && (status === 'delivered' || status === 'dropped')) {
      throw new InvalidRequestError([
        { path: '/tag', message: 'requires the status scheduled, claimed or dead' },
      ])
    }
    const filters = [status, tag, from, to]
    const { messages, end } = await listPage({
      status,
      limit,
      ...(tag === undefined ? {} : { tag }),
      ...(from === undefined ? {} : { from }),
      ...(to === undefined ? {} : { to }),
      after: cursor === undefined ? null : decodeCursor(cursor, filters),
    })
    const texts = messages.map((message) => messageText(message)).join(',')
    const nextCursor = end === null ? 'null' : `"${encodeCursor(end, filters)}"`
    // Text, as the payloads in it are, and so past the response schema, which describes it.
    return (reply as FastifyReply).type(JSON_UTF8).send(`{"messages":[${texts}],"nextCursor":${nextCursor}}`)
  })
}
