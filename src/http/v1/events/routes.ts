import { fastifySSE } from '@fastify/sse'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Static } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { decodePosition } from '../../../events/position.ts'
import type { EventQuery } from '../../../events/query.ts'
import { EVENT_TYPES, type EventType } from '../../../events/sink.ts'
import type { StreamConnection } from '../../../events/stream.ts'
import { MOST_STREAMS } from '../../../events/streams.ts'
import type { Beginning } from '../../../events/teller.ts'
import { toProblem } from '../../errors/error-reply.ts'
import { HttpError } from '../../errors/http-error.ts'
import { BAD_QUERY } from '../../openapi/failures.ts'
import { route, text } from '../../openapi/route.ts'
import { parseAt } from '../../validation/time.ts'
import { InvalidRequestError } from '../../validation/validation.ts'
import type { ApiDeps } from '../deps.ts'
import {
  DESTINATION_FORM,
  EventsHeaders,
  EventsQuery,
  EXAMPLE_STREAM,
  SINCE_FORM,
  TYPES_FORM,
} from './schemas.ts'

/** A comment so often keeps proxies from closing a connection on which nothing is told. */
const HEARTBEAT_MS = 15_000

const NOT_ACCEPTABLE = {
  status: 406,
  description: 'the Accept header excludes text/event-stream',
  detail: 'accept: must include text/event-stream',
}
const TOO_MANY = {
  status: 503,
  detail: `this server has ${MOST_STREAMS} streams of events open; retry later`,
  retryAfter: 1,
}

const STREAM = route({
  operationId: 'streamEvents',
  tag: 'overview',
  summary: 'Stream events',
  description:
    'Tells what happens as server-sent events, best effort: a server that is killed may lose what happened in its ' +
    'last 20 ms. With `since` or `Last-Event-ID` it first tells what has been kept from there on. `gap` tells how ' +
    'many matching events were missed, at least. The stream ends with `bye` when the server stops. A server has at ' +
    'most 100 streams.',
  querystring: EventsQuery,
  headers: EventsHeaders,
  response: { 200: text('events until either side closes', 'text/event-stream', EXAMPLE_STREAM) },
  fails: [BAD_QUERY, NOT_ACCEPTABLE],
})

/** The stream of events. Needs the scope `read`; a key that only browses gets no payloads. */
export const eventRoutes: FastifyPluginAsyncTypebox<Pick<ApiDeps, 'events'>> = async (app, { events }) => {
  await app.register(fastifySSE, { heartbeatInterval: HEARTBEAT_MS })
  // A server does not close while it answers.
  app.addHook('preClose', async () => events.close())
  app.route({
    method: 'GET',
    url: '/events',
    exposeHeadRoute: false,
    sse: { kind: 'only' },
    schema: STREAM,
    preSerialization: async (_request, reply, payload) =>
      reply.statusCode === 406 ? refusal(reply) : payload,
    async handler(request, reply) {
      const query = toQuery(request.query, request.seesContent)
      const from = toBeginning(request.query.since, reply.sse.lastEventId ?? '')
      if (!events.hasRoom) throw new HttpError(TOO_MANY)
      // It waits rather than being worked on.
      request.inFlight?.remove()
      await events.stream(query, from, connectionOf(request, reply))
    },
  })
}

/** In the form of all problems, instead of the plugin's own. */
function refusal(reply: FastifyReply): object {
  reply.type('application/problem+json; charset=utf-8')
  return toProblem(NOT_ACCEPTABLE)
}

type Given = Static<typeof EventsQuery>

function toQuery({ types, tag, destination, payload, detail = 'many' }: Given, mayHave: boolean): EventQuery {
  return {
    ...(types === undefined ? {} : { types: toTypes(types) }),
    ...(tag === undefined ? {} : { tag }),
    ...(destination === undefined ? {} : { destination: toDestination(destination) }),
    payload: payload === 'true' && mayHave,
    detail,
  }
}

function toTypes(text: string): EventType[] {
  const wanted = new Set(text.split(','))
  const types = EVENT_TYPES.filter((type) => wanted.has(type))
  if (types.length < wanted.size) throw invalid('types', TYPES_FORM)
  return types
}

function toDestination(text: string): string {
  if (text === 'console' || text === 'stream' || /^pull:./.test(text)) return text
  const [, url = ''] = /^webhook:(.+)$/.exec(text) ?? []
  if (!URL.canParse(url)) throw invalid('destination', DESTINATION_FORM)
  return `webhook:${new URL(url).origin}`
}

/** Where a client begins that has had an event before, whose id no program but this one has made. */
function toBeginning(since: string | undefined, lastEventId: string): Beginning | undefined {
  const last = decodePosition(lastEventId)
  if (last !== undefined || since === undefined) return last
  const position = decodePosition(since)
  if (position !== undefined) return position
  const at = parseAt(since, { inQuery: true })
  if (typeof at === 'string') throw invalid('since', SINCE_FORM)
  return { since: at }
}

const invalid = (field: string, form: string): InvalidRequestError =>
  new InvalidRequestError([{ path: `/${field}`, message: `must be ${form}` }])

function connectionOf({ raw: { socket } }: FastifyRequest, { sse, raw }: FastifyReply): StreamConnection {
  return {
    open: () => sse.sendHeaders(),
    write: (bytes) => raw.write(bytes),
    get waitingBytes() {
      return raw.writableLength
    },
    onDrain: (listener) => void raw.on('drain', listener),
    onClose(listener) {
      if (!sse.isConnected || socket.readableEnded) return listener()
      sse.onClose(listener)
      // A client that reads no more may close its side alone, and would be noticed only when it is written to.
      socket.once('end', () => sse.close())
    },
    end: () => sse.close(),
  }
}
