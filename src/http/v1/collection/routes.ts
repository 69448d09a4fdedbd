import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import { LAST_MS } from '../../../domain/message.ts'
import type { Bulk, Selection } from '../../../messages/bulk.ts'
import type { Page, PageQuery } from '../../../messages/listing.ts'
import type { Bucket } from '../../../messages/overview.ts'
import { parseAt } from '../../validation/time.ts'
import { InvalidRequestError } from '../../validation/validation.ts'
import { JSON_UTF8, messageText } from '../messages/message-text.ts'
import { toIso } from '../messages/translate.ts'
import { Problem } from '../problem.schemas.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import {
  CancelBody,
  CancelReply,
  ForecastQuery,
  ForecastReply,
  ListQuery,
  ListReply,
  ShiftBody,
  ShiftReply,
} from './schemas.ts'

export interface CollectionRoutesOptions {
  readonly bulk: Bulk
  readonly listPage: (query: PageQuery) => Promise<Page>
  readonly forecast: (args: { from: number; to: number; bucketMs: number }) => Promise<Bucket[]>
  /** Redis's clock as last heard of, epoch ms */
  readonly now: () => number
}

const DEFAULT_LIMIT = 100
const DEFAULT_BUCKET_MS = 60_000
const DEFAULT_SPAN_MS = 3_600_000
const MOST_BUCKETS = 1_000
const problems = { '4xx': Problem, '5xx': Problem }

/** Many messages: list, cancel, move, and the load ahead. */
export const collectionRoutes: FastifyPluginAsyncTypebox<CollectionRoutesOptions> = async (app, options) => {
  const { bulk, listPage, forecast, now } = options

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

  app.get(
    '/forecast',
    {
      schema: {
        summary: 'See how many messages fall due when',
        tags: ['overview'],
        querystring: ForecastQuery,
        response: { 200: ForecastReply, ...problems },
      },
    },
    async (request) => {
      const { bucketMs = DEFAULT_BUCKET_MS } = request.query
      const from = timeOf('from', request.query.from) ?? now()
      const to = timeOf('to', request.query.to) ?? Math.min(from + DEFAULT_SPAN_MS, LAST_MS)
      if (to <= from) throw new InvalidRequestError([{ path: '/to', message: 'must be later than from' }])
      const buckets = Math.ceil((to - from) / bucketMs)
      if (buckets > MOST_BUCKETS) {
        const message = `must be larger: from and to are ${buckets} buckets apart, and ${MOST_BUCKETS} is the most`
        throw new InvalidRequestError([{ path: '/bucketMs', message }])
      }
      const counted = await forecast({ from, to, bucketMs })
      return { buckets: counted.map(({ at, count }) => ({ at: toIso(at), count })) }
    },
  )
}

function timeOf(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  const ms = parseAt(value, { inQuery: true })
  if (typeof ms === 'string') throw new InvalidRequestError([{ path: `/${name}`, message: ms }])
  return ms
}

function selectionOf({ tag, ids }: { tag?: string; ids?: string[] }): Selection {
  if (tag !== undefined && ids === undefined) return { tag }
  if (ids !== undefined && tag === undefined) return { ids }
  throw new InvalidRequestError([{ path: '', message: 'must have exactly one of tag and ids' }])
}
