import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import type { Filter } from '../../../messages/filter.ts'
import { BAD_QUERY } from '../../openapi/failures.ts'
import { answer, route } from '../../openapi/route.ts'
import type { ApiDeps } from '../deps.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import { toFilter } from './filter.schemas.ts'
import { ListQuery, ListReply } from './list.schemas.ts'
import { JSON_UTF8, messageText } from './message-text.ts'

const DEFAULT_LIMIT = 100

const LIST = route({
  operationId: 'listMessages',
  tag: 'messages',
  summary: 'List messages',
  description:
    'Page by page, ordered by time. A message that is there all the time is neither missed nor repeated, ' +
    'however many others come and go. A page ends early at 16 MiB. What no index holds, such as a prefix of ids, is ' +
    'searched for among 10,000 messages per page: then the page has `"searched": "part"` and a cursor.',
  querystring: ListQuery,
  response: { 200: answer('a page of messages', ListReply) },
  fails: [BAD_QUERY],
})

/** Lists messages, page by page. */
export const listRoutes: FastifyPluginAsyncTypebox<Pick<ApiDeps, 'listPage'>> = async (app, { listPage }) => {
  app.get('/messages', { schema: LIST }, async (request, reply) => {
    const { limit = DEFAULT_LIMIT, cursor, order = 'asc', ...fields } = request.query
    const filter = toFilter(fields)
    const bound = boundBy(filter, order)
    const { messages, end, isPart } = await listPage({
      ...{ filter, limit, direction: order === 'asc' ? 'up' : 'down' },
      after: cursor === undefined ? null : decodeCursor(cursor, bound),
    })
    const texts = messages.map((message) => messageText(message, request.seesContent)).join(',')
    const nextCursor = end === null ? 'null' : `"${encodeCursor(end, bound)}"`
    const searched = isPart ? ',"searched":"part"' : ''
    // Text, as the payloads in it are, and so past the response schema, which describes it.
    return (reply as FastifyReply)
      .type(JSON_UTF8)
      .send(`{"messages":[${texts}],"nextCursor":${nextCursor}${searched}}`)
  })
}

/** What a cursor belongs to. With the first four filters alone it is the same as that of older servers. */
function boundBy(filter: Filter, order: 'asc' | 'desc'): readonly unknown[] {
  const { status, tag, from, to, destination, reason, idPrefix, late } = filter
  const first = [status ?? 'scheduled', tag, from, to]
  const others = [destination, reason, idPrefix, late, order === 'asc' ? undefined : order]
  return others.every((each) => each === undefined) ? first : [...first, ...others]
}
