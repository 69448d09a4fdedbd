import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import type { Page, PageQuery } from '../../../messages/listing.ts'
import { timeOf } from '../../validation/time.ts'
import { InvalidRequestError } from '../../validation/validation.ts'
import { Problem } from '../problem.schemas.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import { ListQuery, ListReply } from './list.schemas.ts'
import { JSON_UTF8, messageText } from './message-text.ts'

export interface ListRoutesOptions {
  readonly listPage: (query: PageQuery) => Promise<Page>
}

const DEFAULT_LIMIT = 100
const problems = { '4xx': Problem, '5xx': Problem }

/** Lists messages, page by page. */
export const listRoutes: FastifyPluginAsyncTypebox<ListRoutesOptions> = async (app, { listPage }) => {
  app.get(
    '/messages',
    {
      schema: {
        summary: 'List messages',
        tags: ['messages'],
        querystring: ListQuery,
        response: { 200: ListReply, ...problems },
      },
    },
    async (request, reply) => {
      const { status = 'scheduled', tag, limit = DEFAULT_LIMIT, cursor } = request.query
      const from = timeOf('from', request.query.from)
      const to = timeOf('to', request.query.to)
      if (tag !== undefined && (status === 'delivered' || status === 'dropped')) {
        throw new InvalidRequestError([
          { path: '/tag', message: 'finds scheduled, claimed and dead messages only' },
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
      return (reply as FastifyReply)
        .type(JSON_UTF8)
        .send(`{"messages":[${texts}],"nextCursor":${nextCursor}}`)
    },
  )
}
